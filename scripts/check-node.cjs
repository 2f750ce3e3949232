// What runs before each of the npm scripts, in any Node: says in one line what is missing, instead of an error from
// deep inside a tool. Written in the syntax that even very old versions read.
"use strict";
var fs = require("fs");
var path = require("path");

// The Node that runs npm, which chose what `npm ci` installed. Inside npm scripts `node` is the project's own.
var agent = / node\/v?(\d+)\.(\d+)\.(\d+)/.exec(process.env.npm_config_user_agent || "");
var version = agent ? agent.slice(1).join(".") : process.versions.node;
var major = Number(version.split(".")[0]);
var minor = Number(version.split(".")[1]);

// As `engines` in package.json.
var isSupported = (major === 20 && minor >= 19) || (major === 22 && minor >= 12) || major > 22;

function refuse(message) {
  console.error(message);
  process.exit(1);
}

var WANTED = "Payment Service needs Node 20 (20.19 or newer), or 22.12 or newer; this is ";
if (!isSupported) refuse(WANTED + version + ". Install one from https://nodejs.org, then type: npm ci");
// `npm run verify` installs them.
var needsDependencies = process.argv.indexOf("--only-node") < 0;
if (needsDependencies && !fs.existsSync(path.join(__dirname, "../node_modules/wrangler")))
  refuse("Dependencies are missing. Type: npm ci");
