// `npm run --silent key`: makes a key for the secret ADMIN_KEY, and prints it. It is kept nowhere.
import { makeApiKey } from "../src/auth/api-key.ts";

process.stdout.write(`${makeApiKey().key}\n`);
