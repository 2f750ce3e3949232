// `npm run --silent secrets-key`: makes a value for the secret SECRETS_KEYS, with one new key, and prints it. It is kept
// nowhere. To rotate, set `<new>,<old>`: what the old one has made holds while it is listed.
import { makeSecretsKeys } from "../src/auth/secret-keys.ts";

process.stdout.write(`${makeSecretsKeys(new Date())}\n`);
