/** Is the service up, and can it work? */
import { z } from "@hono/zod-openapi";
import { version } from "../../package.json";
import { json } from "../http/answer";
import { problem } from "../http/problem";
import { ok } from "../http/responses";
import { createRoute, newApp, PUBLIC, registerRoute } from "../route";
import { logError } from "../storage/log";

export const health = newApp();

/** How long D1 may take before it counts as out of reach, in milliseconds. */
const D1_TIMEOUT_MS = 2_000;

const live = createRoute({
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

registerRoute(health, live, (c) => json(c, 200, { status: "ok" }));

const ready = createRoute({
  method: "get",
  path: "/health/ready",
  operationId: "getReadiness",
  summary: "Can the service work?",
  description: "Asks D1 for a row that the migrations put there, and says how long that took.",
  tags: ["Health"],
  ...PUBLIC,
  responses: {
    200: {
      description: "D1 answers, and its migrations are applied",
      content: {
        "application/json": {
          schema: z.object({
            status: z.literal("ready"),
            version: z.string().openapi({ description: "The version of the service" }),
            d1_latency_ms: z.number().openapi({ description: "How long D1 took, in milliseconds" }),
          }),
          example: { status: "ready", version, d1_latency_ms: 3 },
        },
      },
    },
  },
  problems: ["unavailable"],
});

registerRoute(health, ready, async (c) => {
  const [db, started] = [c.get("db"), performance.now()];
  try {
    const found = await Promise.race([
      db.all(db.prepare("SELECT 1 FROM merchants WHERE id = 1")),
      scheduler.wait(D1_TIMEOUT_MS),
    ]);
    if (!found?.length) throw new Error("D1 did not answer in time, or holds no default merchant");
  } catch (error) {
    logError({ message: "not ready", request_id: c.get("requestId"), cause: String(error) });
    return problem(c, "unavailable", { detail: "D1 does not answer, or its migrations are not applied" });
  }
  const d1_latency_ms = Math.round(performance.now() - started);
  return json(c, 200, { status: "ready", version, d1_latency_ms });
});
