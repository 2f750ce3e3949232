/** What the Workers runtime has and Node has not, of the modules of src/ that are tested on Node. */
declare const scheduler: { wait(milliseconds: number, options?: { signal?: AbortSignal }): Promise<void> };
