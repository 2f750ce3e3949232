import path from "node:path";
import { defineConfig } from "vitest/config";

// Apart from `npm test`, because it installs the dependencies anew.
const root = path.join(import.meta.dirname, "../..");
export default defineConfig({
  test: {
    root,
    include: ["test/container/**/*.test.ts"],
    reporters: ["default", path.join(root, "test/count-reporter.ts")],
    testTimeout: 60_000,
  },
});
