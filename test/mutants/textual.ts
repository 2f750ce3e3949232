/** Small changes that a developer might make by mistake, made in the text of a source file, its SQL included. */

import { crc32 } from "node:zlib";

/** One change: `find` stands at `at`, and becomes `replace`. */
export interface Mutant {
  readonly file: string;
  readonly at: number;
  readonly find: string;
  readonly replace: string;
  readonly kind: string;
}

type Rule = readonly [kind: string, pattern: RegExp, replace: (found: string) => string];

const swap = (...pairs: readonly (readonly [string, string])[]) => {
  const both = new Map(pairs.flatMap(([a, b]) => [[a, b] as const, [b, a] as const]));
  return (found: string) => both.get(found) ?? found;
};

const RULES: readonly Rule[] = [
  ["equality", / (===|!==) /g, (found) => (found.includes("===") ? " !== " : " === ")],
  ["boundary", / (<=|>=|<|>) (?=[\w$("-])/g, swap([" < ", " <= "], [" > ", " >= "])],
  ["logic", / (&&|\|\|) /g, swap([" && ", " || "])],
  ["sum", /(?<=[\w)\]]) [+-] (?=[\w(])/g, swap([" + ", " - "])],
  ["negation", /(?<=\bif \(|return |&& |\|\| |\()!(?=[a-zA-Z(])/g, () => ""],
  ["boolean", /\b(true|false)\b(?=[;,)\s}])/g, swap(["true", "false"])],
  ["constant", /(?<=[=(,:[<>*+-] )\d[\d_]*\b(?!n)/g, (found) => String(Number(found.replaceAll("_", "")) + 1)],
  ["default", / \?\? (null|0|1|""|\[\]|false|true)(?=[;,)\s])/g, (found) => (found === " ?? 1" ? " ?? 2" : " ?? 1")],
  ["removed statement", /(?<=\n *)(?:await )?[\w.#]+\([^\n]*\);(?=\n)/g, () => ""],
  ["removed early return", /(?<=\n *)if \([^\n]+\) (?:return|throw|continue)[^\n]*;(?=\n)/g, () => ""],
  ["removed element", /(?<=\[)\w+, (?=\w+)/g, () => ""],
  // In SQL, whose words are in capitals.
  [
    "SQL: removed condition",
    / AND [\w.]+ (?:=|<|>|<=|>=|<>|IS NOT|IS) (?:\?\d*|\$\{\w+\}|NULL|[\w.]+|'\w+')(?=[\s`)])/g,
    () => "",
  ],
  ["SQL: order", /\b(ASC|DESC)\b/g, swap(["ASC", "DESC"])],
  ["SQL: existence", /\b(NOT EXISTS|EXISTS)\b/g, (found) => (found === "EXISTS" ? "NOT EXISTS" : "EXISTS")],
  ["SQL: null", /\bIS (NOT )?NULL\b/g, (found) => (found === "IS NULL" ? "IS NOT NULL" : "IS NULL")],
  ["SQL: extreme", /\b(max|min)(?=\()/g, swap(["max", "min"])],
  ["SQL: equality", /(?<=[A-Za-z_\d'?)}]) = (?=\?|\$\{|'|[a-z_]+\.)/g, () => " <> "],
];

/**
 * Comments, imports, types and what is said in the API document: no change there breaks a promise. Nor the columns of a
 * row (`id: true,`), which the compiler holds to the row's type.
 */
const PASSED_OVER =
  /^\s*\w+: true,$|^\s*(\*|\/\/|\/\*|import |export type |type |interface |export interface |readonly |\w+\??: (string|number|boolean)[;,]?$)|description|summary|example|title:|operationId|new Error\(/;

const SQL_LINE = /\b(SELECT|UPDATE|SET|WHERE|AND|FROM|JOIN|ON|VALUES|ORDER BY|HAVING)\b|\b(max|min)\(/;

/** Every mutant of a file's text, in the order in which they stand. */
export function mutantsOf(file: string, text: string): Mutant[] {
  const mutants = RULES.flatMap(([kind, pattern, change]) =>
    [...text.matchAll(pattern)].flatMap(({ 0: find, index: at }): Mutant[] => {
      const replace = change(find);
      const line = text.slice(text.lastIndexOf("\n", at) + 1, text.indexOf("\n", at + 1));
      const isPassedOver = PASSED_OVER.test(line) || (kind.startsWith("SQL") && !SQL_LINE.test(line));
      return replace === find || isPassedOver ? [] : [{ file, at, find, replace, kind }];
    }),
  );
  return mutants.sort((a, b) => a.at - b.at || a.kind.localeCompare(b.kind));
}

/** The file's text with the mutant in it. */
export function mutate({ file, at, find, replace }: Mutant, sound: string): string {
  if (!sound.startsWith(find, at)) throw new Error(`${file} does not have ${find} at ${at}`);
  return sound.slice(0, at) + replace + sound.slice(at + find.length);
}

/** The line that a mutant changes, before and after. */
export function lineOf(mutant: Mutant, sound: string): { line: number; from: string; to: string } {
  const begin = sound.lastIndexOf("\n", mutant.at) + 1;
  const changed = mutate(mutant, sound);
  const lineAt = (text: string) => text.slice(begin, (text.indexOf("\n", begin) + 1 || text.length + 1) - 1).trim();
  return { line: sound.slice(0, begin).split("\n").length, from: lineAt(sound), to: lineAt(changed) };
}

/** Numbers between 0 and 1 that a seed decides (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/**
 * So many mutants, in turn from each room, drawn by the seed: with a larger count come the same ones and more, and what is
 * drawn of a room does not change with the others.
 */
export function draw(
  mutants: readonly Mutant[],
  roomOf: (file: string) => string,
  count: number,
  seed: number,
): Mutant[] {
  const rooms = [...Map.groupBy(mutants, ({ file }) => roomOf(file))].map(([room, all]) => {
    return { left: [...all], random: randomOf(seed + crc32(room)) };
  });
  const drawn: Mutant[] = [];
  while (drawn.length < count && rooms.some(({ left }) => left.length > 0)) {
    for (const { left, random } of rooms) {
      const [mutant] = left.splice(Math.floor(random() * left.length), 1);
      if (mutant && drawn.length < count) drawn.push(mutant);
    }
  }
  return drawn;
}
