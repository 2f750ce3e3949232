/** What is said in the API document is held by its own checks, and by the answers of the worker tests: no mutants there. */
import { declareValuePlugin, PluginKind } from "@stryker-mutator/api/plugin";

export const strykerPlugins = [
  declareValuePlugin(PluginKind.Ignore, "openapi", {
    shouldIgnore({ node }) {
      const isOpenApi =
        node.type === "CallExpression" &&
        node.callee.type === "MemberExpression" &&
        node.callee.property.type === "Identifier" &&
        node.callee.property.name === "openapi";
      return isOpenApi ? "the API document" : undefined;
    },
  }),
];
