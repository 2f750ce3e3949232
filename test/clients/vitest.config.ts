import path from "node:path";
import { defineConfig } from "vitest/config";

// Apart from `npm test`, because it installs the generators, which are no part of the project: npm's in this folder,
// Python's in a temporary one.
const root = path.join(import.meta.dirname, "../..");
export default defineConfig({
  test: {
    root,
    include: ["test/clients/**/*.test.ts"],
    reporters: ["default", path.join(root, "test/count-reporter.ts")],
    testTimeout: 300_000,
  },
});
