/** What the service takes from `cloudflare:workers`, for the simulated platform on Node. */
export class DurableObject<Env> {
  constructor(
    protected ctx: DurableObjectState,
    protected env: Env,
  ) {}
}

export class RpcTarget {}
