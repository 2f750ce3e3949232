// `npm run --silent secrets-key`: makes a value for the secret SECRETS_KEYS, with one new key, and prints it. It is kept
// nowhere. With `--rotate FILE` the new key stands in front of those of a file, which go on opening what they have sealed.
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { makeSecretsKeys, rotateSecretsKeys } from "../src/auth/secret-keys.ts";
import { asksForHelp, readRotatedFile, SECRETS_KEY_USAGE, UsageError } from "./local/options.ts";

const args = process.argv.slice(2);

try {
  if (asksForHelp(args)) console.log(SECRETS_KEY_USAGE);
  else process.stdout.write(`${valueBehind(readRotatedFile(args, { env: process.env }))}\n`);
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  console.error(error.message);
  process.exitCode = 1;
}

function valueBehind(rotated: string | undefined): string {
  if (rotated === undefined) return makeSecretsKeys(new Date());
  // npm runs a script in the project, wherever it was typed.
  const file = path.resolve(process.env.INIT_CWD ?? ".", rotated);
  if (!existsSync(file)) throw new UsageError(`There is no file ${rotated}`);
  const read = rotateSecretsKeys(readFileSync(file, "utf8"), new Date());
  if (!read.ok) throw new UsageError(`${rotated}: ${read.detail}`);
  return read.keys;
}
