/**
 * What is said in the API document and in `docs/` is held by their own checks (`test/unit/documents.test.ts`), and by the
 * answers of the worker tests: no mutants there.
 */
import { declareValuePlugin, PluginKind } from "@stryker-mutator/api/plugin";

/** Of the sandbox's tokens, what `docs/sandbox.md` says of each, and under which heading. */
const FOR_DOCUMENTS = ["does", "group"];

const isOpenApi = (node) =>
  node.type === "CallExpression" &&
  node.callee.type === "MemberExpression" &&
  node.callee.property.type === "Identifier" &&
  node.callee.property.name === "openapi";

const isForDocuments = (node) =>
  node.type === "ObjectProperty" && node.key.type === "Identifier" && FOR_DOCUMENTS.includes(node.key.name);

export const strykerPlugins = [
  declareValuePlugin(PluginKind.Ignore, "documents", {
    shouldIgnore({ node }) {
      if (isOpenApi(node)) return "the API document";
      return isForDocuments(node) ? "the documents" : undefined;
    },
  }),
];
