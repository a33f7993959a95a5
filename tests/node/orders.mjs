// Orders for many servers in one process, as lines of JSON on stdin, each answered with one line of JSON.
//
//   {"do": "start", "with": {…}}: starts a server with these options, and answers with its number, `{"instance": N, …}`
//   {"do": "…", "instance": N, "with": {…}}: an order to this server

import { createInterface } from "node:readline";

/** Takes orders until stdin is closed. `start(options)` answers `[server, reply]`; `actions` are methods of a server. */
export async function serve(start, actions) {
  const servers = new Map();
  let started = 0;

  async function obey(order) {
    if (order.do === "start") {
      const [server, reply] = await start(order.with);
      started += 1;
      servers.set(started, server);
      return { instance: started, ...reply };
    }
    const server = servers.get(order.instance);
    if (server === undefined) throw new Error(`no such instance: ${order.instance}`);
    if (!actions.includes(order.do)) throw new Error(`no such order: ${order.do}`);
    if (order.do === "end") servers.delete(order.instance);
    return await server[order.do](order.with);
  }

  for await (const line of createInterface({ input: process.stdin })) {
    let reply;
    try {
      reply = await obey(JSON.parse(line));
    } catch (error) {
      reply = { error: error.message };
    }
    process.stdout.write(`${JSON.stringify(reply)}\n`);
  }
  process.exit(0);
}
