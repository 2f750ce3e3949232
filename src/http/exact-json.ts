/**
 * JSON as its text says it (RFC 8259 and 7493). Pure. `JSON.parse` alone would round a number that a double cannot
 * hold, and let the last of two equal names win.
 */

/**
 * A number that a double cannot hold, by its text. A symbol, because a schema takes an object for an object, and
 * nothing for a symbol.
 */
function inexactNumber(text: string): symbol {
  return Symbol(text);
}

/** The text of a number that a double cannot hold; null for any other value. */
export function inexactText(value: unknown): string | null {
  return typeof value === "symbol" ? (value.description ?? null) : null;
}

export type ParsedJson = { ok: true; value: unknown } | { ok: false; detail: string };

/** How deep arrays and objects may lie in each other; no request needs more than three. */
const MAX_DEPTH = 100;
/** Every decimal of so many characters, without an exponent, is exactly one double's shortest text. */
const ALWAYS_EXACT = /^[-\d.]{1,15}$/;

/**
 * Parses JSON. A number is a JavaScript number where that is exact, and else what `inexactText` reads.
 *
 * @returns the value, or what is wrong with the text: no JSON, a name twice in one object, nesting beyond 100 levels
 */
export function parseJson(text: string): ParsedJson {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { ok: false, detail: "The request body is not valid JSON" };
  }
  const { fault, isExact } = scan(text);
  if (fault !== null) return { ok: false, detail: fault };
  return { ok: true, value: isExact ? value : JSON.parse(text, keepInexact) };
}

/** Looks through text that is known to be JSON for what `JSON.parse` does not report. */
function scan(text: string): { fault: string | null; isExact: boolean } {
  /** The names so far of each object that is open; null for an array. */
  const open: (Set<string> | null)[] = [];
  let isExact = true;
  for (let at = 0; at < text.length; at++) {
    const char = text.charAt(at);
    if (char === '"') {
      const start = at;
      at = endOfString(text, at);
      const names = open.at(-1);
      if (!names || !isFollowedByColon(text, at + 1)) continue;
      const name: string = JSON.parse(text.slice(start, at + 1));
      if (names.has(name)) {
        const shown = JSON.stringify(name.toWellFormed().slice(0, 100));
        return { fault: `The request body has the name ${shown} twice in one object`, isExact };
      }
      names.add(name);
    } else if (char === "{" || char === "[") {
      open.push(char === "{" ? new Set() : null);
      if (open.length > MAX_DEPTH)
        return { fault: `The request body is nested deeper than ${MAX_DEPTH} levels`, isExact };
    } else if (char === "}" || char === "]") {
      open.pop();
    } else if (char === "-" || (char >= "0" && char <= "9")) {
      const start = at;
      while (/[-+.eE\d]/.test(text.charAt(at + 1))) at++;
      isExact &&= isExactNumber(text.slice(start, at + 1));
    }
  }
  return { fault: null, isExact };
}

/** The index of the quote that ends the string that begins at `start`. */
function endOfString(text: string, start: number): number {
  let at = start + 1;
  while (text.charAt(at) !== '"') at += text.charAt(at) === "\\" ? 2 : 1;
  return at;
}

/** Whether a colon is the next that is no white space: the string before it is a name. */
function isFollowedByColon(text: string, start: number): boolean {
  let at = start;
  while (/[ \t\r\n]/.test(text.charAt(at))) at++;
  return text.charAt(at) === ":";
}

/** A reviver. Engines hand it the source text of each primitive value. */
function keepInexact(_name: string, value: unknown, context?: { source?: string }): unknown {
  const text = context?.source;
  return typeof value === "number" && text !== undefined && !isExactNumber(text) ? inexactNumber(text) : value;
}

function isExactNumber(text: string): boolean {
  if (ALWAYS_EXACT.test(text)) return true;
  const value = Number(text);
  return Number.isFinite(value) && normalForm(text) === normalForm(String(value));
}

/** One spelling for all texts of a number: its digits without zeros around them, and their power of ten. */
function normalForm(text: string): string {
  const [mantissa = "", power = "0"] = text.toLowerCase().split("e");
  const [integer = "", fraction = ""] = mantissa.replace("-", "").split(".");
  const digits = (integer + fraction).replace(/^0+/, "");
  let end = digits.length;
  // A loop, because engines may take a square of the time for `/0+$/`.
  while (digits.charAt(end - 1) === "0") end--;
  if (end === 0) return "0";
  return `${digits.slice(0, end)}e${Number(power) - fraction.length + digits.length - end}`;
}
