/** The fields that bodies, paths and queries share: their schemas, and what is said of a wrong one. */
import { z } from "@hono/zod-openapi";
import { TIME_MESSAGE, TIME_PATTERN, timeOf } from "./times";

/** A query parameter that stands at most once. `error` says what it must be. */
export function single(error: string) {
  return z.string({ error: (issue) => (Array.isArray(issue.input) ? "Must be given once" : error) });
}

/**
 * A query parameter that bounds times, in milliseconds. What is finer is rounded into the range.
 *
 * @param bound whether the range begins (`from`) or ends (`to`) here
 */
export function timeParameter(name: string, bound: "from" | "to", description: string) {
  return timeOf(single(TIME_MESSAGE))
    .transform(({ floor, ceiling }) => (bound === "from" ? ceiling : floor))
    .openapi({
      param: { name, in: "query" },
      type: "string",
      pattern: TIME_PATTERN,
      description: `${description}: an RFC 3339 time, or a date, which is its midnight in UTC. Write the + of an offset as %2B`,
    });
}

/** How many entries any list in a request may have. */
export const MAX_LIST_LENGTH = 100;
export const LIST_LENGTH_MESSAGE = `Must have at most ${MAX_LIST_LENGTH} entries`;

/** A parameter that may stand several times, or once with a comma between its values: any of a few words. */
export function choiceOf<Word extends string>(name: string, words: readonly Word[]) {
  return z
    .union([z.string(), z.array(z.string())])
    .transform((given, context) => {
      const named = [given].flat().flatMap((text) => text.split(",", MAX_LIST_LENGTH + 1));
      if (named.length > MAX_LIST_LENGTH) {
        context.addIssue({ code: "custom", message: LIST_LENGTH_MESSAGE });
        return z.NEVER;
      }
      if (named.every((text) => words.some((word) => word === text))) {
        return words.filter((word) => named.includes(word));
      }
      context.addIssue({ code: "custom", message: oneOrSeveralOf(words) });
      return z.NEVER;
    })
    .openapi({
      param: { name, in: "query", style: "form", explode: true },
      type: "array",
      items: { type: "string", enum: [...words] },
      maxItems: MAX_LIST_LENGTH,
      description: "One or several: repeated, or with commas between",
    });
}

export function oneOrSeveralOf(words: readonly string[]): string {
  return `Must be one or several of ${words.join(", ")}`;
}

export const POSITIVE_INTEGER_MESSAGE = `Must be an integer from 1 to ${Number.MAX_SAFE_INTEGER}`;
const INTEGER = { type: "integer" as const, format: "int64", minimum: 1, maximum: Number.MAX_SAFE_INTEGER };

/** Refined rather than `z.int()`, whose failure would keep the check of the whole body from running. */
export const PositiveInteger = z
  .number({ error: (issue) => (issue.input === undefined ? "Field required" : POSITIVE_INTEGER_MESSAGE) })
  .refine((value) => Number.isSafeInteger(value) && value > 0, { error: POSITIVE_INTEGER_MESSAGE })
  .openapi(INTEGER);

/** One in a path or a query: digits, without a sign or leading zeros. */
export function integerParameter(name: string, place: "path" | "query", description: string) {
  return single(POSITIVE_INTEGER_MESSAGE)
    .refine((text) => /^[1-9]\d*$/.test(text) && Number.isSafeInteger(Number(text)), {
      error: POSITIVE_INTEGER_MESSAGE,
    })
    .transform(Number)
    .openapi({ param: { name, in: place }, ...INTEGER, description });
}

/** A number of seconds in a query: digits, without a sign or leading zeros. */
export function secondsParameter(name: string, least: number, most: number, byDefault: number, description: string) {
  const message = `Must be an integer from ${least} to ${most}`;
  return single(message)
    .refine((text) => /^(0|[1-9]\d{0,5})$/.test(text) && Number(text) >= least && Number(text) <= most, {
      error: message,
    })
    .transform(Number)
    .optional()
    .openapi({
      param: { name, in: "query" },
      type: "integer",
      minimum: least,
      maximum: most,
      // No `default` in the document: generators send it with every request, also where it is refused.
      description: `${description}; ${byDefault} without it`,
    });
}

export const NOT_AN_OBJECT_MESSAGE = { error: "Must be a JSON object" };

const MAX_NAME_LENGTH = 100;
const NAME_MESSAGE = `Must be a text of 1 to ${MAX_NAME_LENGTH} characters`;

const INVISIBLE_MESSAGE = "Must have something in it that can be seen";
const NOT_TEXT_MESSAGE = "Must be Unicode text without control characters";

/** No filler, such as U+3164, which is a letter, nor the blank of Braille, which is a symbol. */
const VISIBLE = /(?![\p{Default_Ignorable_Code_Point}\u2800])[\p{L}\p{N}\p{P}\p{S}]/u;
const CONTROL = /\p{Cc}/u;
/** As near to both as every language's patterns come. */
const NAME_PATTERN = String.raw`^(?=[\s\S]*\S)[^\u0000-\u001f\u007f-\u009f]*$`;

export const Name = z
  .string({ error: (issue) => (issue.input === undefined ? "Field required" : NAME_MESSAGE) })
  .refine((text) => text !== "" && [...text].length <= MAX_NAME_LENGTH, { error: NAME_MESSAGE, abort: true })
  .refine((text) => !CONTROL.test(text) && text.isWellFormed(), { error: NOT_TEXT_MESSAGE, abort: true })
  .refine((text) => VISIBLE.test(text), { error: INVISIBLE_MESSAGE })
  .openapi({
    minLength: 1,
    maxLength: MAX_NAME_LENGTH,
    pattern: NAME_PATTERN,
    description:
      "A name of your own, for people: Unicode text without control characters, with something in it that can be seen",
  });

const MAX_OVERLAP_S = 7 * 24 * 3600;
export const OVERLAP_MESSAGE = `Must be an integer from 0 to ${MAX_OVERLAP_S}`;

/** How long what is rolled stays valid beside what takes its place. */
export const Overlap = z
  .number({ error: (issue) => (issue.input === undefined ? "Field required" : OVERLAP_MESSAGE) })
  .refine((value) => Number.isInteger(value) && value >= 0 && value <= MAX_OVERLAP_S, { error: OVERLAP_MESSAGE })
  .openapi({
    type: "integer",
    minimum: 0,
    maximum: MAX_OVERLAP_S,
    description: "How long the old one stays valid: 0 ends it now, 604800 after seven days",
  });
