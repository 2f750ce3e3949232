import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { PROJECT, type Report, readRun, runTests } from "./test-run";

describe("a report", () => {
  type File = Report["testResults"][number];
  type Test = File["assertionResults"][number];
  const test = (title: string, status: string, ...failureMessages: string[]): Test => {
    return { ancestorTitles: ["keys"], title, status, failureMessages };
  };
  const file = (message: string, status: string, ...assertionResults: Test[]): File => {
    return { name: "/copy/test/a.test.ts", status, message, assertionResults };
  };
  const result = (exited: boolean, success: boolean, ...testResults: File[]) =>
    readRun("/copy", exited, { success, testResults });
  const PASSED = test("open", "passed");
  const FAILED = test("close", "failed", "AssertionError: expected 1 to be 2");
  const SKIPPED = test("turn", "skipped");
  const TIMED_OUT = test("turn", "failed", "TestTimeoutError: Test timed out in 5000ms.");

  it("that passes has noticed nothing", () => {
    expect(result(true, true, file("", "passed", PASSED, SKIPPED))).toEqual({ tag: "passed" });
  });

  it("notices by a test that failed, whatever a hook adds to that", () => {
    const noticed = { tag: "noticed", what: "test/a.test.ts > keys > close" };
    expect(result(false, false, file("", "failed", PASSED, FAILED, SKIPPED))).toEqual(noticed);
    expect(result(false, false, file("the invariants", "failed", PASSED, FAILED))).toEqual(noticed);
    expect(result(false, false, file("", "failed", TIMED_OUT, FAILED))).toEqual(noticed);
    // The second file was not begun any more.
    expect(result(false, false, file("", "failed", FAILED), file("", "failed"))).toEqual(noticed);
  });

  it("that only times out has hung", () => {
    const hung = { tag: "hung", what: "test/a.test.ts > keys > turn: timed out" };
    expect(result(false, false, file("", "failed", PASSED, TIMED_OUT))).toEqual(hung);
    const before = test("turn", "failed", "Error: Test timed out in 5000ms.");
    expect(result(false, false, file("", "failed", PASSED, before))).toEqual(hung);
    const hook = test("turn", "failed", "HookTimeoutError: Hook timed out in 10000ms.");
    expect(result(false, false, file("", "failed", PASSED, hook))).toEqual(hung);
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
    ["crashes", "an error outside the tests", false, false, [file("", "failed", PASSED)]],
    ["has an unhandled error", "an error outside the tests", false, true, [file("", "passed", PASSED)]],
  ])("that %s is broken", (_, what, exited, success, files) => {
    expect(result(exited, success, ...files)).toEqual({ tag: "broken", what: expect.stringContaining(what) });
  });
});

// The words of a report are vitest's, and change with its versions: so these are runs of the one that is installed.
describe("a run of vitest", () => {
  let directory = "";
  const TEN_SECONDS_MS = 10_000;

  beforeAll(() => {
    directory = realpathSync(mkdtempSync(path.join(tmpdir(), "payments-run-")));
    mkdirSync(path.join(directory, "node_modules"));
    symlinkSync(path.join(PROJECT, "node_modules/vitest"), path.join(directory, "node_modules/vitest"));
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  const run = (body: string, within = TEN_SECONDS_MS) => {
    const imports = `import { beforeEach, expect, it } from "vitest";`;
    writeFileSync(path.join(directory, "a.test.mjs"), `${imports}\n${body}`);
    return runTests(directory, [], within);
  };

  it.each([
    ["passes", `it("passes", () => {});`, { tag: "passed" }],
    ["fails", `it("fails", () => expect(1).toBe(2));`, { tag: "noticed", what: "a.test.mjs > fails" }],
    [
      "waits for what never comes, and says so",
      `it("waits", () => expect.poll(() => 1, { timeout: 20 }).toBe(2));`,
      { tag: "noticed", what: "a.test.mjs > waits" },
    ],
    [
      "hangs in a test",
      `it("hangs", () => new Promise(() => {}), 20);`,
      { tag: "hung", what: "a.test.mjs > hangs: timed out" },
    ],
    [
      "hangs in a hook",
      `beforeEach(() => new Promise(() => {}), 20); it("is not reached", () => {});`,
      { tag: "hung", what: "a.test.mjs > is not reached: timed out" },
    ],
    [
      "does not load",
      `it("passes", () => {}); nothing();`,
      { tag: "broken", what: expect.stringContaining("nothing") },
    ],
    ["has no test", "", { tag: "broken", what: expect.stringContaining("No test suite found") }],
  ])("that %s", async (_, body, result) => {
    expect(await run(body)).toEqual(result);
  });

  it("that does not end is ended, and has hung", async () => {
    expect(await run("for (;;);", 1_500)).toEqual({ tag: "hung", what: "no end within 1500 ms" });
  });
});
