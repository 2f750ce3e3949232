// `npm run --silent key`: makes a key for the secret ADMIN_KEY, and prints it. It is kept nowhere.
import { makeKey } from "../src/auth/key.ts";

process.stdout.write(`${makeKey().key}\n`);
