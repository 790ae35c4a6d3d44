import { createServer } from "node:http";
import sirv from "sirv";

const files = sirv("dist", { single: true });
createServer((request, response) => files(request, response)).listen(8080);
