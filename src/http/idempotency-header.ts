/** The Idempotency-Key header: how it is documented and read, and how a replay says that it is one. */
import { z } from "@hono/zod-openapi";
import type { Context } from "hono";
import type { App } from "../context";
import { fingerprint, IDEMPOTENCY_KEY_PATTERN, type Idempotency, readIdempotencyKey } from "../storage/idempotency";
import { misnamedHeader, problem } from "./problem";

/**
 * The key's header in the document.
 *
 * @param example what the Swagger page sends at first; none where a key is optional, for it would be sent twice
 */
export function idempotencyKeyHeader(example?: string) {
  return z.string().openapi({
    pattern: IDEMPOTENCY_KEY_PATTERN,
    description:
      "Your name for this one intended success, for example a UUID: 1 to 255 visible ASCII characters, or the same " +
      'as a quoted string ("abc" is the key abc). A retry with the same key is answered with what it has led to, as ' +
      "that is then; nothing happens twice.",
    ...(example !== undefined && { example }),
  });
}

export const REPLAYED = {
  "Idempotent-Replayed": {
    description: "`true` when the key had led to this success before",
    schema: { type: "string" as const, enum: ["true"] },
  },
};

/** The header of an answer that is a replay. */
export const REPLAY = { "Idempotent-Replayed": "true" };

/** What the example of a request with a wrong key is answered. */
export const INVALID_IDEMPOTENCY_KEY = {
  idempotency_key_invalid: { errors: [{ detail: "Must not be empty", header: "Idempotency-Key" }] },
};

/**
 * Validates the key and fingerprints the request, once its other parts are known to be valid; null without a key.
 *
 * @param subject the id of what the request is about, null when it makes one
 */
export async function readIdempotency(
  c: Context<App>,
  operation: string,
  subject: number | string | null,
  body: object,
): Promise<Idempotency | null | Response> {
  const header = c.req.header("Idempotency-Key");
  if (header === undefined) {
    const meant = misnamedHeader(c.req.raw.headers, MEANT_AS_KEY);
    return meant === null
      ? null
      : problem(c, "idempotency_key_invalid", { errors: [{ detail: MISNAMED, header: meant }] });
  }
  const read = readIdempotencyKey(header);
  if (read.ok) return { key: read.key, fingerprint: await fingerprint(operation, subject, body) };
  return problem(c, "idempotency_key_invalid", { errors: [{ detail: read.detail, header: "Idempotency-Key" }] });
}

/** The same where a key is required: without one, the problem says so, and names a header that was meant as one. */
export async function requireIdempotency(
  c: Context<App>,
  operation: string,
  subject: number | string | null,
  body: object,
): Promise<Idempotency | Response> {
  if (c.req.header("Idempotency-Key") === undefined) {
    const meant = misnamedHeader(c.req.raw.headers, MEANT_AS_KEY);
    return problem(c, "idempotency_key_missing", {
      ...(meant !== null && { detail: `The Idempotency-Key header is required; ${meant} is not read` }),
    });
  }
  // With the header there, this is never null.
  return (await readIdempotency(c, operation, subject, body)) ?? problem(c, "idempotency_key_missing");
}

const MISNAMED = "Is not read: send the key as Idempotency-Key";

/** Letters of a name that was meant as `Idempotency-Key`: its sender takes a retry to be safe. */
const MEANT_AS_KEY = /idempoten(t|cy|ce)?(key|token|id)|^x?idempoten(cy|ce)$/;
