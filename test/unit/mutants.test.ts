import { describe, expect, it } from "vitest";
import { known, PURE_MODULES, scoresOf } from "../mutants/pure";
import { faultOf, roomsWithoutTests } from "../mutants/rest";
import SCORES from "../mutants/scores.json" with { type: "json" };
import { draw, lineOf, type Mutant, mutantsOf, mutate } from "../mutants/textual";
import type { RunResult } from "../proof/test-run";

const changesOf = (text: string) => mutantsOf("a.ts", text).map(({ kind, find, replace }) => [kind, find, replace]);

describe("textual mutants", () => {
  it.each([
    ["  if (a === b) go();", [["equality", " === ", " !== "]]],
    [
      "  const isIn = a < 12;",
      [
        ["boundary", " < ", " <= "],
        ["constant", "12", "13"],
      ],
    ],
    [
      "  return !known && old;",
      [
        ["negation", "!", ""],
        ["logic", " && ", " || "],
      ],
    ],
    ["\n  forget(key);\n", [["removed statement", "forget(key);", ""]]],
    ["\n  if (a) return null;\n", [["removed early return", "if (a) return null;", ""]]],
    [
      "WHERE id = ? AND merchant_id = ? ORDER BY id DESC",
      [
        ["SQL: equality", " = ", " <> "],
        ["SQL: removed condition", " AND merchant_id = ?", ""],
        ["SQL: equality", " = ", " <> "],
        ["SQL: order", "DESC", "ASC"],
      ],
    ],
    ["WHERE ended_at IS NULL", [["SQL: null", "IS NULL", "IS NOT NULL"]]],
  ])("of %j are these", (text, changes) => {
    expect(changesOf(text)).toEqual(changes);
  });

  it.each([
    "// a === b",
    "/** a === b */",
    " * a === b",
    'import { a } from "./a";',
    "type A = { b: true };",
    '  description: "a === b",',
    "  const path = value;",
  ])("are not made of %s", (text) => {
    expect(changesOf(text)).toEqual([]);
  });

  it("change one place, and say what their line was and is", () => {
    const text = "first;\n  if (a === b) go();\nlast;";
    const [mutant] = mutantsOf("a.ts", text);
    if (!mutant) throw new Error("No mutant");
    expect(mutate(mutant, text)).toBe("first;\n  if (a !== b) go();\nlast;");
    expect(lineOf(mutant, text)).toEqual({ line: 2, from: "if (a === b) go();", to: "if (a !== b) go();" });
    expect(() => mutate(mutant, "another text")).toThrow("does not have");
  });

  it("are drawn in turn from each room, and the same ones of the same seed, and more", () => {
    const mutants = ["a", "a", "a", "b", "b", "c"].map((room, at): Mutant => {
      return { file: `src/${room}/x.ts`, at, find: "", replace: "", kind: "" };
    });
    const drawn = (count: number, seed: number) => draw(mutants, (file) => file.charAt(4), count, seed);
    expect(drawn(6, 1).map(({ file }) => file.charAt(4))).toEqual(["a", "b", "c", "a", "b", "a"]);
    expect(drawn(6, 1).slice(0, 3)).toEqual(drawn(3, 1));
    expect(drawn(99, 1)).toHaveLength(6);
    // A new room takes turns, and changes nothing of what is drawn in the others.
    const withMore = [{ file: "src/0/x.ts", at: 9, find: "", replace: "", kind: "" }, ...mutants];
    const others = draw(withMore, (file) => file.charAt(4), 99, 1).filter(({ at }) => at !== 9);
    expect(others).toEqual(drawn(99, 1));
    expect(new Set(Array.from({ length: 20 }, (_, seed) => drawn(1, seed)[0]?.at)).size).toBe(3);
  });
});

it("each room whose text is mutated has tests that are run against it", () => {
  expect(roomsWithoutTests()).toEqual([]);
});

it("a room whose tests fail without a mutant has a second try, and then nothing of it is tried", async () => {
  const passed = { tag: "passed" } as const;
  const late = { tag: "hung", what: "no end" } as const;
  const failed = { tag: "noticed", what: "a test" } as const;
  /** What the room's two suites come to, run by run, and how many runs it took. */
  const faultAfter = async (...results: RunResult[]) => {
    const left = [...results];
    const fault = await faultOf("http", async () => left.shift() ?? failed);
    return [fault, results.length - left.length];
  };
  expect(await faultAfter(passed, passed)).toEqual([null, 2]);
  expect(await faultAfter(late, passed, failed, passed)).toEqual([null, 4]);
  expect(await faultAfter(passed, late, failed)).toEqual(["a test", 3]);
  expect(await faultAfter(failed, late, passed)).toEqual(["no end", 2]);
});

it("a report of Stryker is read: what survived, with its explanation, and what is not covered", () => {
  const place = (line: number, start: number, end: number) => {
    return { start: { line, column: start }, end: { line, column: end } };
  };
  const mutants = [
    { status: "Killed", replacement: "x", location: place(1, 1, 2) },
    { status: "Timeout", replacement: "x", location: place(1, 1, 2) },
    { status: "Ignored", replacement: "x", location: place(1, 1, 2) },
    { status: "Survived", replacement: "a <= b", location: place(2, 7, 12) },
    { status: "NoCoverage", replacement: "b > a", location: place(2, 7, 12) },
  ];
  const file = "src/storage/idempotency.ts";
  expect(scoresOf({ files: { [file]: { source: "let x;\nsort((a < b) ? 1 : 0)", mutants } } })).toEqual([
    {
      file,
      killed: 1,
      timedOut: 1,
      survivors: [
        { file, from: "a < b", to: "a <= b", why: expect.stringMatching(/^Equivalent/) },
        { file, from: "a < b", to: "b > a", why: null },
      ],
    },
  ]);
});

it("every score that is kept is of a pure module, and known", () => {
  const modules = Object.entries(PURE_MODULES).flatMap(([room, names]) => names.map((name) => `src/${room}/${name}`));
  const files = SCORES.map(({ file }) => file);
  expect(files).toEqual(modules.filter((file) => files.includes(file)).sort());
  expect(
    known()
      .flatMap(({ file, tried }) => (tried === null ? [] : [file]))
      .sort(),
  ).toEqual(files);
});
