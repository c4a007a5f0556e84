// Owns asking the daemon: one request, its answer in JSON, and its refusals as ApiError.

import { session } from "./session.js";

const PATIENCE_MS = 20000;

/** The daemon said no (status), or was not there to say anything (status 0). */
export class ApiError extends Error {
  constructor(status, message, hint = "") {
    super(message);
    this.status = status;
    this.hint = hint;
  }

  /** Whether the same request may be taken later. */
  get passing() {
    return this.status === 0 || this.status === 408 || this.status === 429 || this.status >= 500;
  }
}

/** Return an answer whose body is still to be read; `query` is pairs, or an object of them. */
export async function open(method, path, { query = {}, body, headers = {}, signal } = {}) {
  const token = session.token;
  const words = new URLSearchParams(query).toString();
  const request = { method, signal, cache: "no-store", credentials: "omit", redirect: "error" };
  request.headers = { Authorization: `Bearer ${token ?? ""}`, ...headers };
  if (body !== undefined) {
    request.headers["Content-Type"] = "application/json";
    request.body = JSON.stringify(body);
  }
  let answer;
  try {
    answer = await fetch(words ? `${path}?${words}` : path, request);
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, "The daemon does not answer.", "Does it run? `kevmond status` tells.");
  }
  if (answer.ok) return answer;
  if (answer.status === 401) session.refuse(token);
  const told = await answer.json().catch(() => ({}));
  throw new ApiError(answer.status, told.error ?? `HTTP ${answer.status}`, told.hint ?? "");
}

/** Return the JSON of an answer. */
export async function ask(method, path, options = {}) {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), PATIENCE_MS);
  try {
    const answer = await open(method, path, { ...options, signal: stop.signal });
    return await answer.json();
  } catch (error) {
    if (error instanceof ApiError) throw error;
    const why = stop.signal.aborted ? `no answer within ${PATIENCE_MS / 1000} s` : error.message;
    throw new ApiError(0, `The daemon's answer did not come whole: ${why}.`);
  } finally {
    clearTimeout(timer);
  }
}

/** Return the JSON of a GET. */
export function get(path, query) {
  return ask("GET", path, { query });
}

/** Return the JSON of a POST. */
export function post(path, body) {
  return ask("POST", path, { body });
}
