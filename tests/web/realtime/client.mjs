// Connects with socket.io-client and prints what it hears, one JSON a line: node client.mjs PACKAGE URL OPTIONS
import { createRequire } from 'node:module';

const [name, url, options] = process.argv.slice(2);
const { io } = createRequire(`${process.cwd()}/`)(name);
const socket = io(url, JSON.parse(options));
const say = (kind, value) => console.log(JSON.stringify([kind, value]));
const transport = () => socket.io.engine && socket.io.engine.transport.name;

socket.on('connect', () => { say('connect', transport()); socket.emit('watch', { kind: 'lead', id: 1e6 }); });
socket.on('gone', () => setTimeout(() => { say('gone', transport()); process.exit(0); }, 500));
socket.on('connect_error', (error) => { say('connect_error', error.message); process.exit(1); });
setTimeout(() => process.exit(2), 50_000);
