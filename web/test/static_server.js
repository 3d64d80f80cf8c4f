// Serves a built page as the gateway does: the precompressed form to those who take it, the same
// content-security policy, and /v1/config.json.
import { createReadStream, existsSync, statSync } from 'node:fs';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';

const types = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.webmanifest': 'application/manifest+json',
};

const policy = (ws) =>
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; manifest-src 'self'; " +
  `worker-src 'self'; connect-src 'self' ${ws}; base-uri 'none'; form-action 'self'; frame-ancestors 'none'`;

// Resolves to the server once it listens on a free port of 127.0.0.1. `config` is what it says at
// /v1/config.json.
export function serve(directory, config) {
  const server = createServer((request, response) => {
    const path = normalize(new URL(request.url, 'http://page').pathname);
    response.setHeader('Content-Security-Policy', policy(config.mqtt_ws));
    response.setHeader('X-Content-Type-Options', 'nosniff');
    if (path === '/v1/config.json') {
      return response.setHeader('Content-Type', 'application/json').end(JSON.stringify(config));
    }
    const file = join(directory, path === '/' ? 'index.html' : path);
    if (!existsSync(file) || !statSync(file).isFile()) return response.writeHead(404).end();
    response.setHeader('Content-Type', types[extname(file)] ?? 'application/octet-stream');
    const gzip = existsSync(`${file}.gz`);
    if (gzip) response.setHeader('Content-Encoding', 'gzip');
    createReadStream(gzip ? `${file}.gz` : file).pipe(response);
  });
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server)));
}
