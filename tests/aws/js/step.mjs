// A step of a pipeline that uses the AWS SDK for JavaScript 3: does what the words say, as ../step.py does.

import { existsSync, renameSync, statSync, writeFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";

import { ECSClient, ListClustersCommand } from "@aws-sdk/client-ecs";

const client = new ECSClient({});
const lines = [];
const words = process.argv.slice(2).values();

for (const word of words) {
  if (word === "clusters") {
    let outcome = "allowed";
    let key = "-";
    try {
      key = (await client.config.credentials()).accessKeyId;
      await client.send(new ListClustersCommand({}));
    } catch (error) {
      outcome = error.name;
    }
    lines.push(`${key} ${outcome}`);
    console.log(lines.at(-1));
  } else if (word === "tell") {
    writeFileSync("next", lines.join("\n") + "\n");
    renameSync("next", words.next().value);
  } else if (word === "wait") {
    const name = words.next().value;
    while (!existsSync(name)) {
      statSync("stdout");
      await pause(10);
    }
  } else {
    console.error(`\`${word}\` is not known`);
    process.exit(1);
  }
}
