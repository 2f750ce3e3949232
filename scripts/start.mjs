// `npm start`: applies the migrations to the local D1, then serves the API until it is stopped.
// Further words go to `wrangler dev`; --persist-to DIR also says where the migrations go. The service runs open
// unless they set AUTH_MODE: `npm start -- --var AUTH_MODE:required --var ADMIN_KEY:<key>`.
import { spawn } from "node:child_process";
import path from "node:path";
import { parseArgs } from "node:util";

const wrangler = path.join(import.meta.dirname, "../node_modules/wrangler/bin/wrangler.js");
const forwarded = process.argv.slice(2);
const options = {
  port: { type: "string" },
  "persist-to": { type: "string" },
  var: { type: "string", multiple: true },
};
const { values } = parseArgs({ args: forwarded, strict: false, options });
const port = values.port === undefined ? ["--port", "8000"] : [];
const persistence = values["persist-to"] === undefined ? [] : ["--persist-to", String(values["persist-to"])];
const given = values.var?.findLast((variable) => String(variable).startsWith("AUTH_MODE:"));
const mode = given === undefined ? ["--var", "AUTH_MODE:open"] : [];
const isOpen = given === undefined || given === "AUTH_MODE:open";

// CI keeps wrangler from asking; the others keep it, and the local runtime, off the network.
const env = {
  ...process.env,
  CI: "1",
  CLOUDFLARE_CF_FETCH_ENABLED: "false",
  WRANGLER_SEND_METRICS: "false",
  WRANGLER_HIDE_BANNER: "true",
  // What wrangler prints goes through here.
  ...(process.stdout.isTTY && process.env.NO_COLOR === undefined && { FORCE_COLOR: "1" }),
};

/**
 * Runs wrangler to its end, and ends it when this process is asked to end.
 *
 * @param ready is told of its origin, once it serves
 */
function run(args, ready) {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [wrangler, ...args], { env, stdio: ["inherit", "pipe", "inherit"] });
    child.stdout.on("data", (chunk) => {
      process.stdout.write(chunk);
      const origin = /Ready on (http:\/\/localhost:\d+)/.exec(chunk)?.[1];
      if (origin) ready?.(origin);
    });
    const stop = (signal) => child.kill(signal);
    for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, stop);
    // npm passes a signal to a shell that keeps it; when that is gone, nobody else will stop wrangler.
    const parent = process.ppid;
    const orphaned = setInterval(() => process.ppid !== parent && stop("SIGTERM"), 500);
    child.on("exit", (code) => {
      clearInterval(orphaned);
      for (const signal of ["SIGINT", "SIGTERM"]) process.off(signal, stop);
      resolve(code ?? 1);
    });
  });
}

/** The development server runs no cron by itself: this one finds deliveries that a stop has left unsent. */
function sweepEveryMinute(origin) {
  const sweep = () =>
    fetch(`${origin}/cdn-cgi/local/scheduled?cron=${encodeURIComponent("* * * * *")}`).catch(() => {});
  setInterval(sweep, 60_000).unref();
}

const migrated = await run(["d1", "migrations", "apply", "DB", "--local", ...persistence]);
if (migrated !== 0) process.exit(migrated);
console.log("\nThe API and its Swagger page (/docs) will answer where wrangler says Ready.");
if (isOpen)
  console.log("It runs open: whoever asks without an API key is merchant 1. It answers on loopback hosts only.");
console.log();
process.exit(
  await run(["dev", ...port, ...mode, "--show-interactive-dev-session=false", ...forwarded], sweepEveryMinute),
);
