import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import path from "node:path";
import { expect, it } from "vitest";

const PROJECT = path.join(import.meta.dirname, "../..");
const read = (file: string) => readFileSync(path.join(PROJECT, file), "utf8");
const { scripts } = JSON.parse(read("package.json"));

/** The commands of a shell script: its lines that are neither empty nor comments. */
const commands = (script: string) => script.split("\n").filter((line) => line !== "" && !line.startsWith("#"));

it("`npm run verify` begins with the README's test command, and leaves out no kind of test", () => {
  expect(read("README.md")).toContain("npm ci && npm test\n");
  const steps = scripts.verify.split(" && ");
  // The dependencies, for which the check of the Node asks elsewhere, come after it.
  expect(steps.slice(0, 3)).toEqual(["node scripts/check-node.cjs --only-node", "npm ci", "npm test"]);
  const kinds = Object.keys(scripts).filter((name) => name.startsWith("test:"));
  expect(steps.slice(3).sort()).toEqual(kinds.map((name) => `npm run ${name}`).sort());
});

it("docs/testing.md says which groups each command runs, and the README that `npm test` is not all of them", () => {
  const folders = (text: string) => [...text.matchAll(/\btest\/(\w+)\/\*\*/g)].map(([, folder]) => `test/${folder}`);
  const [, tested = "", verified = ""] =
    /`npm test` runs (.*?)\. `npm run verify` adds\s(.*?); /s.exec(read("docs/testing.md")) ?? [];
  const named = (text: string) => [...text.matchAll(/`(test\/\w+)`/g)].map(([, folder]) => folder).sort();
  expect(named(tested)).toEqual([...new Set(folders(read("vitest.config.ts")))].sort());
  const kinds = Object.keys(scripts).filter((name) => name.startsWith("test:"));
  expect(named(verified)).toEqual(kinds.map((name) => name.replace(":", "/")).sort());
  expect(read("README.md")).not.toContain("every test");
  expect(read("README.md")).toContain("come with `npm run verify`");
});

it("`.ci/run` ends with it, and the workflow calls nothing but `.ci/run`", () => {
  expect(commands(read(".ci/run")).at(-1)).toBe("npm run verify");
  const steps = [...read(".github/workflows/ci.yml").matchAll(/^ *(?:- )?run: (.*)$/gm)].map(([, command]) => command);
  expect(steps).toEqual([".ci/run"]);
});

it("`npm run check` covers every TypeScript project, and the lint all files", () => {
  const files = execFileSync("git", ["ls-files", "-co", "--exclude-standard"], { cwd: PROJECT, encoding: "utf8" });
  const projects = files.split("\n").filter((file) => path.basename(file) === "tsconfig.json");
  const check = read("scripts/check.ts");
  const [, typed = ""] = /^const TYPED = \[(.*)\];$/m.exec(check) ?? [];
  expect([...typed.matchAll(/"([^"]+)"/g)].map(([, folder]) => folder).sort()).toEqual(
    projects.map(path.dirname).sort(),
  );
  expect(check).toContain("biome check .");
});
