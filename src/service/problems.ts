/** The pages behind the type URIs of problems. */
import { z } from "@hono/zod-openapi";
import { json } from "../http/answer";
import { describeKind, problem } from "../http/problem";
import { PROBLEM_KINDS, typeUri } from "../http/problem-kinds";
import { ok } from "../http/responses";
import { createRoute, newApp, PUBLIC, registerRoute } from "../route";

export const problems = newApp();

const KindSchema = z
  .object({
    type: z.string().openapi({ format: "uri-reference", description: "The type URI, this page's own path" }),
    title: z.string().openapi({ description: "The kind in words" }),
    status: z.int().openapi({ description: "The HTTP status it comes with" }),
    remedy: z.string().openapi({ description: "What to do about it" }),
  })
  .openapi("ProblemKind", { description: "A kind of problem" });

const KindListSchema = z.array(KindSchema).openapi("ProblemKindList", { description: "Kinds of problem" });

export const listProblemKindsRoute = createRoute({
  method: "get",
  path: "/problems",
  operationId: "listProblemKinds",
  summary: "List the kinds of problem",
  description: "Every kind of problem that the service answers with, and what to do about it.",
  tags: ["Problems"],
  ...PUBLIC,
  responses: {
    200: ok(KindListSchema, { description: "All kinds", example: [describeKind("payment_not_found")] }),
  },
  problems: [],
});

registerRoute(problems, listProblemKindsRoute, (c) => json(c, 200, PROBLEM_KINDS.map(describeKind)));

export const getProblemKindRoute = createRoute({
  method: "get",
  path: "/problems/{kind}",
  operationId: "getProblemKind",
  summary: "Describe a kind of problem",
  description: "What a problem's `type` leads to.",
  tags: ["Problems"],
  ...PUBLIC,
  request: {
    params: z.object({
      kind: z.string().openapi({
        param: { name: "kind", in: "path" },
        description: "The last segment of the problem's `type`",
        example: "payment-not-found",
      }),
    }),
  },
  responses: {
    200: ok(KindSchema, { description: "The kind", example: describeKind("payment_not_found") }),
  },
  problems: ["route_not_found"],
});

registerRoute(problems, getProblemKindRoute, (c, { params }) => {
  const kind = PROBLEM_KINDS.find((candidate) => typeUri(candidate) === `/problems/${params.kind}`);
  return kind ? json(c, 200, describeKind(kind)) : problem(c, "route_not_found");
});
