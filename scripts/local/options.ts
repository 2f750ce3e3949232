/** What `npm start` is asked to do: its command line, what npm made of it, the environment and the secrets file. */
import path from "node:path";
import { parseArgs, parseEnv } from "node:util";

export interface StartOptions {
  /** 0 lets the system choose. */
  readonly port: number;
  /** The directory of the local D1 and objects. */
  readonly state: string;
  readonly mode: string;
  /** Whether the log stays as the service writes it, one JSON object a line. */
  readonly json: boolean;
  /** A file of `NAME=value` lines that the Worker gets as secrets; undefined for `.dev.vars`, if there is one. */
  readonly secretsFile: string | undefined;
  /** Further words for `wrangler dev`. */
  readonly forwarded: readonly string[];
}

/** A command line that cannot be followed: the message is for whoever typed it. */
export class UsageError extends Error {}

export interface Surroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The project, which the state and `.dev.vars` are in. */
  readonly project: string;
  /** The text of a file, or null when there is none. */
  readonly read: (file: string) => string | null;
}

export const DEFAULT_PORT = 8000;
const DEFAULT_STATE = ".wrangler/state";

const OPTIONS = {
  port: { type: "string" },
  "persist-to": { type: "string" },
  "secrets-file": { type: "string" },
  // wrangler's name for it.
  "env-file": { type: "string" },
  var: { type: "string", multiple: true },
  json: { type: "boolean" },
} as const;

/** Names of variables whose values nobody else on the machine may see: `ps` shows every command line. */
const SECRET_NAME = /(^|_)(KEYS?|SECRETS?|TOKENS?|PASSWORDS?)$/;

/**
 * Reads what `npm start` is asked to do.
 *
 * @param args the words behind `npm start --`, or those that npm has left of `npm start --port 8301`
 * @throws UsageError
 */
export function readOptions(args: readonly string[], { env, project, read }: Surroundings): StartOptions {
  const { values, tokens } = parseArgs({ args: [...args], strict: false, options: OPTIONS, tokens: true });
  // npm keeps `--persist-to DIR` of a command without `--` for itself, and leaves DIR behind.
  for (const name of ["persist-to", "secrets-file", "env-file", "var", "ip"]) {
    if (env[`npm_config_${name.replace("-", "_")}`] !== undefined) {
      throw new UsageError(`npm keeps --${name} for itself. Type two dashes before it: npm start -- --${name} …`);
    }
  }
  const words = [...args];
  for (const token of tokens.toReversed()) {
    if (token.kind !== "option" || !Object.hasOwn(OPTIONS, token.name)) continue;
    words.splice(token.index, token.value === undefined || token.inlineValue ? 1 : 2);
  }
  // `npm start --port 8301` comes as the word 8301, with npm_config_port=true.
  const bare = /^\d+$/.test(words[0] ?? "") ? words.shift() : undefined;
  const kept = env.npm_config_port === "true" ? undefined : env.npm_config_port;

  const variables = (values.var ?? []).map(String);
  const exposed = variables.map(nameOf).find((name) => SECRET_NAME.test(name));
  if (exposed !== undefined) {
    throw new UsageError(
      `${exposed} is a secret, and everybody on this machine can read a command line. ` +
        `Put it into a file, as the line ${exposed}=…, and type: npm start -- --secrets-file FILE`,
    );
  }
  const secretsFile = textOf(values["secrets-file"] ?? values["env-file"]);
  const secrets = read(path.resolve(secretsFile ?? path.join(project, ".dev.vars")));
  if (secretsFile !== undefined && secrets === null) throw new UsageError(`There is no file ${secretsFile}`);

  const named = variables.findLast((variable) => nameOf(variable) === "AUTH_MODE")?.slice("AUTH_MODE:".length);
  return {
    port: readPort(textOf(values.port) ?? bare ?? kept ?? (env.PORT || undefined)),
    state: path.resolve(textOf(values["persist-to"]) ?? path.join(project, DEFAULT_STATE)),
    mode: named ?? (secrets === null ? undefined : parseEnv(secrets).AUTH_MODE) ?? "open",
    json: values.json === true || env.npm_config_json === "true",
    secretsFile: secretsFile === undefined ? undefined : path.resolve(secretsFile),
    forwarded: [...variables.flatMap((variable) => ["--var", variable]), ...words],
  };
}

const nameOf = (variable: string) => variable.split(":")[0] ?? "";

/** A value that was given; an option without its value comes as `true`. */
const textOf = (value: string | boolean | undefined) => (typeof value === "string" && value !== "" ? value : undefined);

function readPort(text: string | undefined): number {
  if (text === undefined) return DEFAULT_PORT;
  const port = Number(text);
  if (!/^\d{1,5}$/.test(text) || port > 65_535) {
    throw new UsageError(`${JSON.stringify(text)} is no port. Type a number from 1 to 65535: npm start -- --port 8001`);
  }
  return port;
}
