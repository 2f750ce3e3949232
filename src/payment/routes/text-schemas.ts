/** The texts of a payment that are the caller's own: its metadata, description and reference. */
import { z } from "@hono/zod-openapi";
import {
  inOrder,
  jsonBytes,
  MAX_METADATA_BYTES,
  MAX_NAME_LENGTH,
  MAX_PAIRS,
  MAX_VALUE_LENGTH,
  type MetadataChanges,
  TOO_MANY_BYTES_MESSAGE,
  TOO_MANY_PAIRS_MESSAGE,
} from "../metadata";

/** What `textFault` lets pass, and names with it, in the document. */
const TEXT_PATTERN = "^[^\\u0000]*$";
const METADATA_NAME_PATTERN = "^[^=\\u0000]*$";

/** What is wrong with a text of metadata, or null. Lengths are in characters, as Unicode counts them. */
function textFault(text: unknown, most: number, least = 0): string | null {
  if (typeof text !== "string") return "Must be a string";
  const length = [...text].length;
  if (length < least || length > most) return `Must be ${least ? `${least} to` : "at most"} ${most} characters long`;
  return text.isWellFormed() && !text.includes("\0") ? null : "Must be Unicode text without NUL";
}

/** Apart, because the types of OpenAPI's schemas do not know `propertyNames`, which OpenAPI 3.1 has. */
const METADATA_DOCUMENT = {
  type: "object" as const,
  maxProperties: MAX_PAIRS,
  propertyNames: { type: "string" as const, minLength: 1, maxLength: MAX_NAME_LENGTH, pattern: METADATA_NAME_PATTERN },
  additionalProperties: { type: "string" as const, maxLength: MAX_VALUE_LENGTH, pattern: TEXT_PATTERN },
  description:
    `Pairs of your own, to find the payment by: at most ${MAX_PAIRS}, with names of 1 to ${MAX_NAME_LENGTH} ` +
    `characters other than = and values of at most ${MAX_VALUE_LENGTH}; ${MAX_METADATA_BYTES} bytes in all, as JSON in UTF-8. ` +
    "Both are Unicode text without NUL.",
  example: { cart: "c-7" },
};

/** The pairs of a JSON object, checked one by one; undefined for what is none, or has too many. */
function readPairs<Value>(
  given: unknown,
  { maxPairs, isValue }: { maxPairs: number; isValue: (value: unknown) => value is Value },
  refuse: (message: string, ...path: string[]) => void,
): [name: string, value: Value][] {
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    refuse("Must be a JSON object of strings");
    return [];
  }
  const pairs = Object.entries(given);
  if (pairs.length > maxPairs)
    refuse(maxPairs === MAX_PAIRS ? TOO_MANY_PAIRS_MESSAGE : `Must have at most ${maxPairs} names`);
  return pairs.slice(0, maxPairs).flatMap(([name, value]): [string, Value][] => {
    const nameFault = textFault(name, MAX_NAME_LENGTH, 1) ?? (name.includes("=") ? "Must not contain =" : null);
    if (nameFault) refuse(`The name: ${nameFault}`, name);
    if (isValue(value)) return [[name, value]];
    refuse(textFault(value, MAX_VALUE_LENGTH) ?? "", name);
    return [];
  });
}

const isValue = (value: unknown): value is string => textFault(value, MAX_VALUE_LENGTH) === null;

/** A pointer is a URI, which can hold no half of a surrogate pair. */
const refuseIn =
  (context: z.RefinementCtx) =>
  (message: string, ...path: string[]): void =>
    context.addIssue({ code: "custom", path: path.map((name) => name.toWellFormed()), message });

/** Pairs of strings. Their order does not matter: they are kept in the order of their names. */
export const Metadata = z
  .unknown()
  .transform((given, context): Readonly<Record<string, string>> => {
    const refuse = refuseIn(context);
    const metadata = inOrder(readPairs(given, { maxPairs: MAX_PAIRS, isValue }, refuse));
    if (jsonBytes(metadata) > MAX_METADATA_BYTES) refuse(TOO_MANY_BYTES_MESSAGE);
    return metadata;
  })
  .openapi(METADATA_DOCUMENT);

/** As many as a payment may have, all of them to be removed, and as many new ones. */
const MAX_CHANGED_PAIRS = 2 * MAX_PAIRS;

/** Apart, as METADATA_DOCUMENT is. */
const METADATA_CHANGES_DOCUMENT = {
  ...METADATA_DOCUMENT,
  maxProperties: MAX_CHANGED_PAIRS,
  additionalProperties: {
    ...METADATA_DOCUMENT.additionalProperties,
    type: ["string", "null"] as ("string" | "null")[],
  },
  description:
    "Pairs to set, and with null to remove; others stay as they are. What comes of it is held to what metadata may be at creation: " +
    `at most ${MAX_PAIRS} pairs and ${MAX_METADATA_BYTES} bytes in all, as JSON in UTF-8. Both are Unicode text without NUL.`,
  example: { cart: "c-8", channel: null },
};

/** Pairs of strings to set, and of null to remove. */
const MetadataPatch = z
  .unknown()
  .transform((given, context): MetadataChanges => {
    const isChange = (value: unknown): value is string | null => value === null || isValue(value);
    const pairs = readPairs(given, { maxPairs: MAX_CHANGED_PAIRS, isValue: isChange }, refuseIn(context));
    return Object.fromEntries(pairs.sort(([a], [b]) => (a < b ? -1 : 1)));
  })
  .openapi(METADATA_CHANGES_DOCUMENT);

const MAX_TEXT_LENGTH = 500;

/** A text for people, of 1 to 500 characters. */
export function shortText(description: string) {
  return textOf(MAX_TEXT_LENGTH, description);
}

const MAX_REFERENCE_LENGTH = 255;

/** What is wrong with the name of what is paid for, or null. */
export const referenceFault = (text: unknown): string | null => textFault(text, MAX_REFERENCE_LENGTH, 1);

/** The texts that are such names, in the document. */
export const REFERENCE_DOCUMENT = {
  type: "string" as const,
  minLength: 1,
  maxLength: MAX_REFERENCE_LENGTH,
  pattern: TEXT_PATTERN,
};

/** A text of 1 to so many characters: Unicode without NUL. */
export function textOf(maxLength: number, description: string) {
  return z
    .unknown()
    .transform((given, context): string => {
      const fault = textFault(given, maxLength, 1);
      if (fault === null) return String(given);
      context.addIssue({ code: "custom", message: fault });
      return z.NEVER;
    })
    .openapi({ type: "string", minLength: 1, maxLength, pattern: TEXT_PATTERN, description });
}

export const PaymentChangesSchema = z
  .strictObject(
    {
      description: z
        .unknown()
        .transform((given, context): string | null => {
          const fault = given === null ? null : textFault(given, MAX_TEXT_LENGTH, 1);
          if (fault === null) return given === null ? null : String(given);
          context.addIssue({ code: "custom", message: fault });
          return z.NEVER;
        })
        .optional()
        .openapi({
          type: ["string", "null"],
          minLength: 1,
          maxLength: MAX_TEXT_LENGTH,
          pattern: TEXT_PATTERN,
          description: "What is paid for, in words; null removes it",
        }),
      metadata: MetadataPatch.optional(),
    },
    { error: "Must be a JSON object" },
  )
  .openapi("PaymentChanges", {
    description: "What to change of a payment; what is left out stays as it is",
    example: { description: "Three tickets", metadata: { cart: "c-8", channel: null } },
  });

/** A name of the caller's own of what is paid for. */
export const Reference = textOf(
  MAX_REFERENCE_LENGTH,
  `Your own name of what is paid for, such as an order's number: 1 to ${MAX_REFERENCE_LENGTH} characters of Unicode text without NUL`,
);
