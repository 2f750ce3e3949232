import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { DEFECTS, PROJECT, plant, type Report, readRun, WORKER_TESTS } from "./defects";

it.each(DEFECTS)("there is a place to break this: $breaks", (defect) => {
  const sound = readFileSync(path.join(PROJECT, defect.file), "utf8");
  expect(plant(defect, sound)).not.toBe(sound);
});

it.each([...new Set(DEFECTS.flatMap(({ noticedBy }) => noticedBy ?? []))])("there is a test file %s", (noticedBy) => {
  expect(existsSync(path.join(PROJECT, WORKER_TESTS, noticedBy))).toBe(true);
});

it("no two defects break the same promise", () => {
  expect(new Set(DEFECTS.map(({ breaks }) => breaks)).size).toBe(DEFECTS.length);
});

describe("a run of the tests", () => {
  type File = Report["testResults"][number];
  type Test = File["assertionResults"][number];
  const test = (title: string, status: string, ...failureMessages: string[]): Test => {
    return { ancestorTitles: ["keys"], title, status, failureMessages };
  };
  const file = (message: string, status: string, ...assertionResults: Test[]): File => {
    return { name: "/copy/test/a.test.ts", status, message, assertionResults };
  };
  const told = (exited: boolean, success: boolean, ...testResults: File[]) =>
    readRun("/copy", exited, { success, testResults });
  const PASSED = test("open", "passed");
  const FAILED = test("close", "failed", "AssertionError: expected 1 to be 2");
  const SKIPPED = test("turn", "skipped");
  const TIMED_OUT = test("turn", "failed", "Error: Test timed out in 5000ms.");

  it("that passes has noticed nothing", () => {
    expect(told(true, true, file("", "passed", PASSED, SKIPPED))).toEqual({ tag: "passed" });
  });

  it("notices by a test that failed, whatever a hook adds to that", () => {
    const noticed = { tag: "noticed", what: "test/a.test.ts > keys > close" };
    expect(told(false, false, file("", "failed", PASSED, FAILED, SKIPPED))).toEqual(noticed);
    expect(told(false, false, file("the invariants", "failed", PASSED, FAILED))).toEqual(noticed);
    expect(told(false, false, file("", "failed", TIMED_OUT, FAILED))).toEqual(noticed);
    // The second file was not begun any more.
    expect(told(false, false, file("", "failed", FAILED), file("", "failed"))).toEqual(noticed);
  });

  it.each<[string, string, boolean, boolean, File[]]>([
    ["finds no tests", "no test has run", false, false, []],
    ["skips all tests", "no test has run", true, true, [file("", "passed", SKIPPED)]],
    ["does not load a file", "test/a.test.ts: Parse error", false, false, [file("Parse error", "failed")]],
    [
      "does not load one of two files",
      "test/a.test.ts: Parse error",
      false,
      false,
      [file("", "failed", FAILED), file("Parse error", "failed")],
    ],
    ["fails in a hook alone", "the invariants", false, false, [file("the invariants", "failed", PASSED)]],
    ["times out", "keys > turn: timed out", false, false, [file("", "failed", PASSED, TIMED_OUT)]],
    ["crashes", "an error outside the tests", false, false, [file("", "failed", PASSED)]],
    ["has an unhandled error", "an error outside the tests", false, true, [file("", "passed", PASSED)]],
  ])("that %s is broken", (_, what, exited, success, files) => {
    expect(told(exited, success, ...files)).toEqual({ tag: "broken", what: expect.stringContaining(what) });
  });
});
