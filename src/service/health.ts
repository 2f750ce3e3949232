/** Is the service up, and can it work? */
import { z } from "@hono/zod-openapi";
import { version } from "../../package.json";
import { json } from "../http/answer";
import { problem } from "../http/problem";
import { ok } from "../http/responses";
import { createRoute, newApp, PUBLIC, registerRoute } from "../route";
import { READINESS_WARNINGS, readiness } from "./readiness";

export const health = newApp();

export const getHealthRoute = createRoute({
  method: "get",
  path: "/health",
  operationId: "getHealth",
  summary: "Is the service up?",
  description: "Answers without touching D1. The body is always exactly this; probes may compare all of it.",
  tags: ["Health"],
  ...PUBLIC,
  responses: {
    200: ok(z.object({ status: z.literal("ok") }).openapi("Health", { description: "That the service is up" }), {
      description: "The service is up",
      example: { status: "ok" },
    }),
  },
  problems: [],
});

registerRoute(health, getHealthRoute, (c) => json(c, 200, { status: "ok" }));

export const getReadinessRoute = createRoute({
  method: "get",
  path: "/health/ready",
  operationId: "getReadiness",
  summary: "Can the service work?",
  description:
    "Says whether D1 answers with a row that the migrations put there, and whether the objects that run actions and " +
    "send webhooks answer. The service looks at most once a second; requests in between get what it has last found.",
  tags: ["Health"],
  ...PUBLIC,
  responses: {
    200: ok(
      z
        .object({
          status: z.literal("ready"),
          version: z.string().openapi({ description: "The version of the service" }),
          warnings: z.array(z.enum(READINESS_WARNINGS)).optional().openapi({
            maxItems: READINESS_WARNINGS.length,
            description: "What an operator should look into while all still works; absent when there is nothing",
          }),
        })
        .openapi("Readiness", { description: "That the service can work" }),
      { description: "D1 and the objects answer", example: { status: "ready", version } },
    ),
  },
  problems: ["unavailable"],
});

registerRoute(health, getReadinessRoute, async (c) => {
  const { missing, warnings } = await readiness(c);
  if (missing !== null) return problem(c, "unavailable", { detail: missing });
  return json(c, 200, { status: "ready", version, ...(warnings.length > 0 && { warnings }) });
});
