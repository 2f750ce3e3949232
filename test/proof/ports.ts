/**
 * Where the tests that run workerd have it listen, each with miniflare on the next port, and the kills at the sandbox with the
 * provider on the two after that: below the ports that systems hand out, and others for each process that runs them at a time.
 */
const FIRST = 20_000 + 10 * (process.pid % 1_200);
export const PORTS = { http: FIRST, kills: FIRST + 2, webhookKills: FIRST + 4, operationKills: FIRST + 6 };
