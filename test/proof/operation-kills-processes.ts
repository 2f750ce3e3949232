/** The processes of the kills at the sandbox: the service and the provider, each a workerd of its own, and the network between. */
import { DatabaseSync } from "node:sqlite";
import { type Running, runCron, start } from "../../bench/workerd";
import { databaseFile } from "./kills";
import { seeded } from "./kills-writer";
import { LossyNetwork } from "./lossy-network";
import { type Evidence, judgeRequest, type Query } from "./operations-judge";

const SWEEP = "* * * * *";

/** The service, the provider, and the network between them. */
export class Processes {
  private constructor(
    readonly service: Running,
    readonly provider: Running,
    readonly network: LossyNetwork,
    readonly query: Query,
    /** What was asked of the provider and must not have been. */
    readonly findings: readonly string[],
  ) {}

  static async start(
    configuration: string,
    bundle: string,
    [serviceState, providerState]: readonly [string, string],
    { port, seed }: { readonly port: number; readonly seed: number },
  ): Promise<Processes> {
    const file = databaseFile(serviceState);
    const query: Query = (sql) => readDatabase(file, sql);
    const findings: string[] = [];
    const network = new LossyNetwork(seeded(seed), (at, body) => {
      const finding = judgeRequest(query, at, body);
      if (finding !== null) findings.push(finding);
    });
    const [serviceUrl, providerUrl] = [`http://127.0.0.1:${port}`, `http://127.0.0.1:${port + 2}`];
    const provider = await start(
      ...([configuration, bundle, providerState, port + 2] as const),
      (request) => network.toService(request, serviceUrl),
      { ROLE: "provider" },
    );
    try {
      const service = await start(
        ...([configuration, bundle, serviceState, port] as const),
        (request) => network.toProvider(request, providerUrl),
        { ROLE: "service" },
      );
      return new Processes(service, provider, network, query, findings);
    } catch (error) {
      await provider.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    await Promise.all([this.service.stop(), this.provider.stop()]);
  }

  async ledger(): Promise<Pick<Evidence, "payments" | "effects">> {
    return (await (await fetch(`${this.provider.url}/ledger`)).json()) as Pick<Evidence, "payments" | "effects">;
  }

  /** Runs the cron that a deployment runs every minute, as at that time; whether it has ended well. */
  sweep(now: number): Promise<boolean> {
    return runCron(this.service, SWEEP, now);
  }

  /** Puts the service's clock ahead of the machine's, and the provider's on by a step. */
  async putAhead(serviceMs: number, providerMs: number): Promise<void> {
    const put = async ({ url }: Running, body: number) => {
      const response = await fetch(`${url}/clock`, { method: "POST", body: String(body) });
      if (!response.ok) throw new Error(`A clock was not put ahead: ${await response.text()}`);
    };
    await put(this.provider, providerMs);
    await put(this.service, serviceMs);
  }
}

/** Rows of a database in which the service writes. */
function readDatabase<Row>(file: string, sql: string): Row[] {
  const database = new DatabaseSync(file, { readOnly: true, timeout: 5_000 });
  try {
    return database.prepare(sql).all() as Row[];
  } finally {
    database.close();
  }
}
