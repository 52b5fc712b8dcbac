// Connects with socket.io-client. Each line of the input is JSON: [package, url, options]; for each it prints a line of
// JSON, what was heard: [[event, value], …].
import { createRequire } from 'node:module';
import { createInterface } from 'node:readline';

const require = createRequire(`${process.cwd()}/`);

function heard([name, url, options]) {
  return new Promise((resolve) => {
    const events = [];
    const socket = require(name).io(url, { forceNew: true, ...options });
    const transport = () => socket.io.engine && socket.io.engine.transport.name;
    const end = (kind, value) => { events.push([kind, value]); socket.disconnect(); clearTimeout(late); resolve(events); };
    const late = setTimeout(() => end('nothing', 'in 50 seconds'), 50_000);

    socket.on('connect', () => { events.push(['connect', transport()]); socket.emit('watch', { kind: 'lead', id: 1e6 }); });
    socket.on('gone', () => {
      const gone = () => end('gone', transport());
      if (options.transports || transport() === 'websocket') gone();
      else socket.io.engine.once('upgrade', gone);
    });
    socket.on('connect_error', (error) => end('connect_error', error.message));
  });
}

for await (const line of createInterface({ input: process.stdin })) {
  console.log(JSON.stringify(await heard(JSON.parse(line))));
}
process.exit(0);
