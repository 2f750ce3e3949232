// Loaded into wrangler by `npm start`: holds the lock of the state as long as wrangler uses it, and ends wrangler, and
// with it the runtime, when the process that started it is gone, also by `kill -9`.
import { shareLock } from "./lock.ts";

const { STATE_LOCK } = process.env;
if (STATE_LOCK !== undefined) shareLock(STATE_LOCK);
process.once("disconnect", () => process.kill(process.pid, "SIGTERM"));
// A listener would keep a command that has done its work from ending.
process.channel?.unref();
