/** Times in requests: RFC 3339, or a date, and what they mean in the milliseconds in which times are stored. */
import { z } from "@hono/zod-openapi";

/** Both of what `TIME_MESSAGE` calls a time: a leap second is one of RFC 3339's, too, and no clock here counts it. */
export const TIME_FORM = "an RFC 3339 time with seconds up to 59";
export const TIME_MESSAGE = `Must be ${TIME_FORM}, such as 2026-01-16T16:57:41Z, or a date, which is its midnight in UTC`;

const RFC_3339 = [z.iso.datetime({ offset: true }), z.iso.date()].map(({ def }) => def.pattern?.source ?? "");
/** RFC 3339 has `t` and `z` mean what `T` and `Z` do. */
const TIME = new RegExp(RFC_3339.map((pattern) => pattern.replace("T(", "[Tt](").replace("Z|", "[Zz]|")).join("|"));

/** The texts that are times, in the document. */
export const TIME_PATTERN = TIME.source;

/** A time as exact as it was written. */
export interface ExactTime {
  /** The last whole millisecond that is not after it: what is up to this time. */
  readonly floor: number;
  /** The first whole millisecond that is not before it: what is from this time on, or, up to here, before it. */
  readonly ceiling: number;
  /** The digits behind the milliseconds, without zeros at the end. */
  readonly finer: string;
}

/** Reads a time; a date alone is its midnight in UTC. Null for what is neither. */
export function readTime(text: string): ExactTime | null {
  if (!TIME.test(text)) return null;
  const [, finer = ""] = /\.\d{3}(\d*[1-9])/.exec(text) ?? [];
  // V8 misreads more than nine digits.
  const floor = Date.parse(text.toUpperCase().replace(/(\.\d{3})\d+/, "$1"));
  return { floor, ceiling: finer === "" ? floor : floor + 1, finer };
}

/** Whether a time is later than another, however fine they are. */
export function isLater(time: ExactTime, than: ExactTime): boolean {
  return time.floor === than.floor ? time.finer > than.finer : time.floor > than.floor;
}

/** A text that must be a time. `error` says what it must be. */
export function timeOf(text: z.ZodString, error = TIME_MESSAGE) {
  return text.transform((given, context) => {
    const time = readTime(given);
    if (time !== null) return time;
    context.addIssue({ code: "custom", message: error });
    return z.NEVER;
  });
}
