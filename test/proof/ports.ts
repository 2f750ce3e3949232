/**
 * Where the tests that run workerd have it listen, each with miniflare on the next port: below the ports that systems
 * hand out, and others for each process that runs them at a time.
 */
const FIRST = 20_000 + 6 * (process.pid % 2_000);
export const PORTS = { http: FIRST, kills: FIRST + 2, webhookKills: FIRST + 4 };
