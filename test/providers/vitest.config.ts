import path from "node:path";
import { defineConfig } from "vitest/config";

// Apart from `npm test`, because it installs providers that others have written: npm's in this folder, Go's and Python's
// below node_modules/.cache.
const root = path.join(import.meta.dirname, "../..");
export default defineConfig({
  test: {
    root,
    include: ["test/providers/**/*.test.ts"],
    globalSetup: [path.join(import.meta.dirname, "install.ts")],
    reporters: ["default", path.join(root, "test/count-reporter.ts")],
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
});
