// `npm run reset`: removes the local state, payments and all. `--persist-to DIR` names another one than .wrangler/state.
import { existsSync, rmSync } from "node:fs";
import path from "node:path";
import { lockState } from "./local/lock.ts";
import { asksForHelp, RESET_USAGE, readResetOptions, UsageError } from "./local/options.ts";

const PROJECT = path.join(import.meta.dirname, "..");

const args = process.argv.slice(2);

try {
  if (asksForHelp(args)) console.log(RESET_USAGE);
  else await reset(readResetOptions(args, { env: process.env, project: PROJECT }));
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}

async function reset(state: string): Promise<void> {
  if (!existsSync(path.join(state, "v3"))) {
    console.log(`There is no local state in ${state}`);
    return;
  }
  // Looked at before the lock is taken, which makes the directory: a `v3` may be somebody's own.
  if (!existsSync(path.join(state, "v3", "d1"))) {
    throw new UsageError(`${state} is no local state of this service, for it has no v3/d1: nothing was removed`);
  }
  const holder = await lockState(state, { pid: process.pid, port: 0 });
  if (holder !== null) {
    throw new UsageError(`A server runs on ${state}: process ${holder.pid}. Stop it first.`);
  }
  // Only what wrangler and `npm start` have put there: the directory may be one that holds more.
  for (const name of ["v3", "server.lock"]) rmSync(path.join(state, name), { recursive: true, force: true });
  console.log(`Removed the local state in ${state}`);
}
