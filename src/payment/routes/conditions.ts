/** The conditions of a request on a payment's version: the ETag header, If-Match and If-None-Match. */
import { z } from "@hono/zod-openapi";
import type { Context } from "hono";
import type { App } from "../../context";
import { readTags, TAGS_PATTERN, type Tags } from "../../http/etag";
import { problem } from "../../http/problem";

export const ETAG = {
  ETag: {
    description: "The payment's version, for If-Match and If-None-Match",
    schema: { type: "string" as const, example: '"1"' },
  },
};

/** The header of a condition in the document; without an example, which the Swagger page would send. */
export function tagsHeader(description: string) {
  return z.string().optional().openapi({ pattern: TAGS_PATTERN, description });
}

/** The tags of a condition, null without one, or the refusal of what is no list of tags. */
export function readCondition(c: Context<App>, header: "If-Match" | "If-None-Match"): Tags | null | Response {
  const value = c.req.header(header);
  if (value === undefined) return null;
  const detail = 'Must be * or a list of entity tags, such as "1"';
  return readTags(value) ?? problem(c, "validation_failed", { errors: [{ detail, header }] });
}
