// `npm run --silent key`: makes a key for the secret ADMIN_KEY, and prints it. It is kept nowhere.
import { makeAdministratorKey } from "../src/auth/api-key.ts";

process.stdout.write(`${makeAdministratorKey()}\n`);
