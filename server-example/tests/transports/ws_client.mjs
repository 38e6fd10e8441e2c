// A member of the room that speaks WebSocket through npm's `ws`. Arguments: the URL, the own name, the names of all
// other members, and how many messages each member sends. NODE_PATH says where `ws` is.

import { createRequire } from "node:module";
import { takePart } from "./member.mjs";

const WebSocket = createRequire(`${process.env.NODE_PATH}/`)("ws");
const [url, name, others, each] = process.argv.slice(2);
const { sum, code } = await takePart(WebSocket, url, name, others.split(","), Number(each));
if (code !== 1000) throw new Error(`closed with ${code}`);
console.log(`counted ${sum}`);
