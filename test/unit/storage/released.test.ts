import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { type Released, wrongWith } from "./released";
import released from "./released-migrations.json";

const PROJECT = path.join(import.meta.dirname, "../../..");

it("no migration has changed since it was released, and each release lists its own", () => {
  const directory = path.join(PROJECT, "migrations");
  const migrations = new Map(
    readdirSync(directory).map((file) => {
      const checksum = createHash("sha256").update(readFileSync(path.join(directory, file)));
      return [file, checksum.digest("hex")];
    }),
  );
  expect(migrations.size).toBeGreaterThan(0);
  expect(wrongWith(readFileSync(path.join(PROJECT, "CHANGELOG.md"), "utf8"), migrations, released)).toEqual([]);
});

describe("the rule", () => {
  const BEFORE = "# Changelog\n\n## Unreleased\n\n- One.\n";
  const CUT = "# Changelog\n\n## 1.0.0 (2026-12-01)\n\n- One.\n";
  const AFTER = "# Changelog\n\n## Unreleased\n\n- Two.\n\n## 1.0.0 (2026-12-01)\n\n- One.\n";
  const SECOND = "# Changelog\n\n## [1.1.0] - 2027-01-01\n\n- Two.\n\n## 1.0.0 (2026-12-01)\n\n- One.\n";
  const FIRST = { "1.0.0": { "0001_base.sql": "a" } };

  it.each<[string, string, Record<string, string>, Released, string[]]>([
    ["lets the base change before a release", BEFORE, { "0001_base.sql": "anything" }, {}, []],
    ["wants a release to list its files", CUT, {}, {}, ["1.0.0 does not list its migrations"]],
    ["takes a release that does", CUT, { "0001_base.sql": "a" }, FIRST, []],
    [
      "wants all of them",
      CUT,
      { "0001_base.sql": "a", "0002_refunds.sql": "b" },
      FIRST,
      ["0002_refunds.sql is in 1.0.0, which does not list it"],
    ],
    ["lets new ones come after a release", AFTER, { "0001_base.sql": "a", "0002_refunds.sql": "any" }, FIRST, []],
    ["sees a change", AFTER, { "0001_base.sql": "A" }, FIRST, ["0001_base.sql was released, and has changed"]],
    ["sees a removal", AFTER, {}, FIRST, ["0001_base.sql was released, and is gone"]],
    [
      "sees one that would never run, or run out of its order",
      AFTER,
      { "0000_early.sql": "e", "0001_base.sql": "a" },
      FIRST,
      ["0000_early.sql comes before 0001_base.sql, which was released"],
    ],
    [
      "wants the next release to list its own",
      SECOND,
      { "0001_base.sql": "a", "0002_refunds.sql": "b" },
      FIRST,
      ["1.1.0 does not list its migrations", "0002_refunds.sql is in 1.1.0, which does not list it"],
    ],
    ["takes a release without any", SECOND, { "0001_base.sql": "a" }, { ...FIRST, "1.1.0": {} }, []],
    [
      "knows what was released by the changelog",
      BEFORE,
      { "0001_base.sql": "a" },
      FIRST,
      ["1.0.0 lists migrations, and CHANGELOG.md does not have it"],
    ],
  ])("%s", (_, changelog, files, released, wrong) => {
    expect(wrongWith(changelog, new Map(Object.entries(files)), released)).toEqual(wrong);
  });
});
