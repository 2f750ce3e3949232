/** Files for spreadsheets (RFC 4180): lines of fields, none of which a spreadsheet takes for a formula. */
import type { Context } from "hono";
import { accepts } from "hono/accepts";
import type { App } from "../../context";

export const CSV = "text/csv; charset=utf-8";

/** What an answer depends on, beside its address: for caches, should one ever be allowed to keep it. */
export const VARY = { Vary: "Accept" };

/** Whether a list is asked for as a file. */
export function wantsCsv(c: Context<App>): boolean {
  const [byDefault, csv] = ["application/json", "text/csv"];
  return accepts(c, { header: "Accept", supports: [byDefault, csv], default: byDefault }) === csv;
}

/** The header that leads to what a file does not go through, in the API document. */
export const nextCursorHeader = (things: string, example: string) => ({
  "Next-Cursor": {
    description: `Of CSV: the \`cursor\` that leads to the ${things} that this file does not go through; absent after the last`,
    schema: { type: "string" as const, example },
  },
});

/** The headers of a file. */
export const fileHeaders = (name: string) => ({
  "Content-Type": CSV,
  "Content-Disposition": `attachment; filename="${name}.csv"`,
  ...VARY,
});

/** Where a file has an end that is not the list's, the cursor that goes on: a link to it may be too long for a header. */
export const nextCursor = (cursor: string | null): Record<string, string> =>
  cursor === null ? {} : { "Next-Cursor": cursor };

/** What a spreadsheet takes for the beginning of a formula, at the start of a field, or after a semicolon. */
const FORMULA = /(^|;["'\s]*)(?=[=+\-@\t\r])/g;

/** A value as a field: nothing for null, JSON for an object, whose semicolons are escapes, and an apostrophe before a formula. */
function fieldText(value: unknown): string {
  if (value === null) return "";
  if (typeof value === "object") return JSON.stringify(value).replaceAll(";", "\\u003b");
  return typeof value === "string" ? value.replace(FORMULA, "$1'") : String(value);
}

/**
 * A line of a file. No field begins with what a spreadsheet takes for a formula, also where it takes semicolons for the
 * separators.
 */
export function csvLine(values: readonly unknown[]): string {
  const texts = values.map(fieldText);
  return `${texts.map((text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text)).join(",")}\r\n`;
}
