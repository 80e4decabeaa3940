// The server: requests, and the stream of what happens. Addresses are relative: the secret in the page's own goes along.

export class Refused extends Error {}

export async function call(method, path, body, raw = false) {
  let response;
  try {
    response = await fetch(`api/${path}`, {
      method,
      body: body === undefined ? undefined : raw ? body : JSON.stringify(body),
      headers: body === undefined || raw ? {} : { "content-type": "application/json" },
    });
  } catch {
    throw new Refused("The studio does not answer; if it was closed, start it again, and this page goes on.");
  }
  const text = await response.text();
  let value = null;
  try { value = JSON.parse(text); } catch { /* a line of text */ }
  if (!response.ok) throw new Refused(value?.message ?? (text.trim() || `the studio refused (${response.status})`));
  return value;
}

export const get = (path) => call("GET", path);
export const post = (path, body = {}) => call("POST", path, body);
export const put = (path, body) => call("PUT", path, body);
export const remove = (path) => call("DELETE", path);
export const send = (path, file) => call("PUT", path, file, true);

/** Listens to the studio; goes on by itself when it was gone. */
export function listen(onMessage, onState) {
  let source = null;
  let seen = false;
  const open = () => {
    source = new EventSource("api/events");
    source.onopen = () => { onState(true, seen); seen = true; };
    source.onmessage = (event) => onMessage(JSON.parse(event.data));
    source.onerror = () => {
      onState(false, seen);
      if (source.readyState === EventSource.CLOSED) setTimeout(open, 1500);
    };
  };
  open();
}

export function picture(url) {
  return new Promise((resolve, reject) => {
    const image = new Image();
    image.onload = () => resolve(image);
    image.onerror = () => reject(new Refused("a picture could not be read; see whether the film is still there"));
    image.src = url;
  });
}
