/**
 * `npm run check`: format and lint, and the types of everything. Steps run side by side; only one that fails is
 * heard. `wrangler types` writes what the type checks read, so it ends before they begin.
 */
import { spawn } from "node:child_process";
import { availableParallelism } from "node:os";
import path from "node:path";

const PROJECT = path.join(import.meta.dirname, "..");
const TYPED = [".", "test/system", "test/proof", "test/proof/killed", "test/mutants", "bench", "bench/metered"];

/** Runs a command of the project; what it printed, when it failed, or null. */
async function failure(command: string): Promise<string | null> {
  const bin = path.join(PROJECT, "node_modules/.bin");
  const child = spawn(command, {
    cwd: PROJECT,
    shell: true,
    env: { ...process.env, CI: "1", PATH: `${bin}${path.delimiter}${process.env.PATH ?? ""}` },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => (output += text));
  const code = await new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  return code === 0 ? null : `$ ${command}\n${output}`;
}

/** Runs commands, as many at once as there are cores, and says what failed. */
async function run(commands: readonly string[]): Promise<boolean> {
  const waiting = [...commands];
  let isGreen = true;
  const worker = async () => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const failed = await failure(next);
      if (failed === null) continue;
      isGreen = false;
      console.error(failed);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  return isGreen;
}

const colors = process.stdout.isTTY ? " --colors=force" : "";
const isFormatted = await run([`biome check .${colors}`, "npm run --silent types"]);
const isTyped = await run(TYPED.map((project) => `tsc -p ${project}`));
if (isFormatted && isTyped) console.log("Format, lint and types are right");
else process.exitCode = 1;
