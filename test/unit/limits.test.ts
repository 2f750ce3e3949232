import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { expect, it } from "vitest";

const TEST = path.join(import.meta.dirname, "..");
const SRC = path.join(TEST, "../src");

const filesIn = (directory: string) =>
  readdirSync(directory, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(".ts"))
    .map((file) => ({ file, text: readFileSync(path.join(directory, file), "utf8") }));

/** What src calls a limit: a constant that is a number, a calculation with numbers, or an object of numbers. */
const limitsOf = (text: string) =>
  [
    ...text.matchAll(
      /^export const ([A-Z][A-Z_\d]+)\b[^=\n]*= (\d[\d_]*( \* [A-Z_\d]+)*|\{( \w+: [\d_]+,?)+ \}|\[[\d_, ]+\]);/gm,
    ),
  ].map(([, name = ""]) => name);

const importsOf = (text: string) =>
  [...text.matchAll(/import \{([^}]*)\} from "[./]*src\//g)].flatMap(([, names = ""]) =>
    names.split(",").map((name) =>
      name
        .replace(/^\s*type /, "")
        .replace(/ as .*/, "")
        .trim(),
    ),
  );

// A limit that is compared with itself holds whatever it is: tests write the number, and why it is that.
it("no test takes a limit from what it tests", () => {
  const limits = new Set(filesIn(SRC).flatMap(({ text }) => limitsOf(text)));
  expect(limits).toContain("MAX_BODY_BYTES");
  const found = filesIn(TEST).flatMap(({ file, text }) =>
    importsOf(text)
      .filter((name) => limits.has(name))
      .map((name) => `${file}: ${name}`),
  );
  expect(found).toEqual([]);
});
