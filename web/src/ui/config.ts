// What the gateway says about itself to the page.
export interface Config {
  mqtt_ws: string | null;
  vapid_public_key?: string | null; // absent: no Web Push
}

export async function readConfig(): Promise<Config> {
  const response = await fetch('v1/config.json', { cache: 'no-cache' });
  if (!response.ok) throw new Error(`the server answered ${response.status}`);
  return (await response.json()) as Config;
}
