import path from "node:path";
import { defineConfig } from "vitest/config";

/** The unit tests of one room; those that read the project's own files would read the mutants. */
const room = process.env.MUTANTS_ROOM ?? "*";

export default defineConfig({
  root: path.join(import.meta.dirname, "../.."),
  test: {
    include: [`test/unit/${room}/**/*.test.ts`],
    exclude: ["test/unit/storage/migrations.test.ts"],
    // A test that is only slow, on a machine that is busy, has noticed nothing: what hangs, Stryker ends.
    testTimeout: 120_000,
  },
});
