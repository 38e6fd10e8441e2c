// A member of the room in a headless Chromium, which `playwright-core` drives. Arguments: the URL, the own name, the
// names of all other members, how many messages each member sends, and the path of Chromium. The page is one of the
// server itself, so that the origin is the server's.

import { createRequire } from "node:module";
import { takePart } from "./member.mjs";

const { chromium } = createRequire(`${process.env.NODE_PATH}/`)("playwright-core");
const [url, name, others, each, executablePath] = process.argv.slice(2);
const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
try {
  const page = await browser.newPage();
  const errors = [];
  page.on("pageerror", (error) => errors.push(error.message));
  await page.goto(url.replace(/^ws/, "http").replace(/\/ws$/, "/"));
  const { sum, code } = await page.evaluate(
    ([source, ...rest]) => new Function(`return (${source})`)()(WebSocket, ...rest),
    [takePart.toString(), url, name, others.split(","), Number(each)],
  );
  if (code !== 1000) throw new Error(`closed with ${code}`);
  if (errors.length > 0) throw new Error(errors.join("; "));
  console.log(`counted ${sum}`);
} finally {
  await browser.close();
}
