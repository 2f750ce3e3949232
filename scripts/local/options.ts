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
  /** Whether there is that file, or `.dev.vars`. */
  readonly hasSecrets: boolean;
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

export const START_USAGE = `npm start applies the migrations to the local database, and serves the API until it is stopped.

  npm start -- [PORT] [options]

  --port N            the port, 8000 otherwise, 0 for one of the system's choice; also: PORT=N npm start
  --persist-to DIR    where the local state is kept, .wrangler/state otherwise
  --var NAME:value    a variable of the Worker; without AUTH_MODE the service runs open
  --secrets-file FILE the Worker's secrets, as NAME=value lines; .dev.vars otherwise
  --json              the log as a deployment writes it: one JSON object a line
  --help              this text

Further options go to \`wrangler dev\`, for example --ip 0.0.0.0.`;

export const RESET_USAGE = `npm run reset removes the local state, payments and all.

  npm run reset -- [options]

  --persist-to DIR    where the local state is, .wrangler/state otherwise
  --help              this text`;

export const SECRETS_KEY_USAGE = `npm run secrets-key makes a value for the secret SECRETS_KEYS, with one new key, and prints it.

  npm run --silent secrets-key -- [options]

  --rotate FILE       the new key in front of those of a file, which go on opening what they have sealed
  --help              this text`;

const OPTIONS = {
  port: { type: "string" },
  "persist-to": { type: "string" },
  "secrets-file": { type: "string" },
  // wrangler's name for it.
  "env-file": { type: "string" },
  var: { type: "string", multiple: true },
  json: { type: "boolean" },
} as const;
const ROTATE = { rotate: { type: "string" } } as const;
type Token = NonNullable<ReturnType<typeof parseArgs>["tokens"]>[number];

/** Whether a command line asks what can be typed. */
export const asksForHelp = (args: readonly string[]) => args.some((word) => word === "--help" || word === "-h");

/** Whether a command line, or npm's own, asks for JSON, whatever else is wrong with it. */
export const asksForJson = (args: readonly string[], env: Surroundings["env"]) =>
  args.includes("--json") || env.npm_config_json === "true";

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
  refuseMissingValues(tokens, "npm start --");
  // npm keeps `--persist-to DIR` of a command without `--` for itself, and leaves DIR behind.
  for (const name of ["persist-to", "secrets-file", "env-file", "var", "ip"]) {
    if (env[`npm_config_${name.replace("-", "_")}`] !== undefined) {
      throw new UsageError(`npm keeps --${name} for itself. Type two dashes before it: npm start -- --${name} …`);
    }
  }
  // `npm start --port` alone comes as no word at all.
  if (env.npm_config_port === "true" && args.length === 0) {
    throw new UsageError("--port needs a value. Type: npm start -- --port …");
  }
  const words = [...args];
  for (const token of tokens.toReversed()) {
    if (token.kind !== "option" || !Object.hasOwn(OPTIONS, token.name)) continue;
    words.splice(token.index, token.value === undefined || token.inlineValue ? 1 : 2);
  }
  // `npm start --port 8301` comes as the word 8301, with npm_config_port=true.
  const bare = /^\d+$/.test(words[0] ?? "") ? words.shift() : undefined;
  const kept = env.npm_config_port === "true" ? undefined : env.npm_config_port;
  const named = textOf(values.port) ?? kept;
  const unknown = bare !== undefined && named !== undefined ? bare : wordOfNoOption(words);
  if (unknown !== undefined) {
    throw new UsageError(`npm start does not know what ${JSON.stringify(unknown)} is. Type: npm start -- --help`);
  }

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

  const mode = variables.findLast((variable) => nameOf(variable) === "AUTH_MODE")?.slice("AUTH_MODE:".length);
  return {
    port: readPort(named ?? bare ?? (env.PORT || undefined)),
    state: stateOf(textOf(values["persist-to"]), project),
    mode: mode ?? (secrets === null ? undefined : parseEnv(secrets).AUTH_MODE) ?? "open",
    json: asksForJson(args, env),
    secretsFile: secretsFile === undefined ? undefined : path.resolve(secretsFile),
    hasSecrets: secrets !== null,
    forwarded: [...variables.flatMap((variable) => ["--var", variable]), ...words],
  };
}

/**
 * The state directory that `npm run reset` is asked to remove. Whatever else stands on its command line is refused: a
 * mistyped option must not end in the removal of another state.
 *
 * @throws UsageError
 */
export function readResetOptions(args: readonly string[], { env, project }: Omit<Surroundings, "read">): string {
  const options = { "persist-to": OPTIONS["persist-to"] };
  const { values, tokens } = parseArgs({ args: [...args], strict: false, options, tokens: true });
  if (env.npm_config_persist_to !== undefined) {
    throw new UsageError(
      "npm keeps --persist-to for itself. Type two dashes before it: npm run reset -- --persist-to …",
    );
  }
  refuseMissingValues(tokens, "npm run reset --");
  const unknown = tokens.find((token) => token.kind !== "option" || token.name !== "persist-to");
  if (unknown !== undefined) {
    const word = JSON.stringify(args[unknown.index]);
    throw new UsageError(`npm run reset does not know what ${word} is. Type: npm run reset -- --help`);
  }
  return stateOf(textOf(values["persist-to"]), project);
}

/**
 * The file whose keys `npm run secrets-key` is asked to put behind the new one; undefined for none. A word that it does not know is
 * refused: without the file, the value would drop every key that there is.
 *
 * @throws UsageError
 */
export function readRotatedFile(args: readonly string[], { env }: Pick<Surroundings, "env">): string | undefined {
  const { values, tokens } = parseArgs({ args: [...args], strict: false, options: ROTATE, tokens: true });
  const command = "npm run --silent secrets-key --";
  if (env.npm_config_rotate !== undefined) {
    throw new UsageError(`npm keeps --rotate for itself. Type two dashes before it: ${command} --rotate …`);
  }
  const known = tokens.filter((token) => token.kind === "option" && token.name === "rotate");
  const unknown = tokens.find((token) => !known.includes(token));
  if (unknown !== undefined || known.length > 1) {
    const word = JSON.stringify(args[(unknown ?? known[1])?.index ?? 0]);
    throw new UsageError(`npm run secrets-key does not know what ${word} is. Type: ${command} --help`);
  }
  const file = textOf(values.rotate);
  if (known.length === 1 && (file === undefined || file.startsWith("--"))) {
    throw new UsageError(`--rotate needs a value. Type: ${command} --rotate …`);
  }
  return file;
}

const stateOf = (named: string | undefined, project: string) =>
  path.resolve(named ?? path.join(project, DEFAULT_STATE));

/** Options that stand at the end, before another one, or with nothing behind their `=`. */
function refuseMissingValues(tokens: readonly Token[], command: string): void {
  for (const token of tokens) {
    if (token.kind !== "option" || !isValued(token.name)) continue;
    if (token.value && (token.inlineValue || !token.value.startsWith("--"))) continue;
    throw new UsageError(`--${token.name} needs a value. Type: ${command} --${token.name} …`);
  }
}

const isValued = (name: string) =>
  Object.entries(OPTIONS).some(([known, { type }]) => known === name && type === "string");

/** A word that is no option for `wrangler dev`, and no value of one that stands right before it. */
function wordOfNoOption(words: readonly string[]): string | undefined {
  return words.find((word, n) => !isOption(word) && !(isOption(words[n - 1] ?? "") && !words[n - 1]?.includes("=")));
}

const isOption = (word: string) => /^--?[a-z]/i.test(word);

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
