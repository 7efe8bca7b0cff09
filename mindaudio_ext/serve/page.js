"use strict";

const WORDS = JSON.parse(document.getElementById("words").textContent);  // by language, then by key
const POLL = 400;  // ms between two questions how far it is
const IN_THE_BROWSER = /\.(m4a|mp4|aac|webm|mov)$/i;  // what the server cannot read and a browser can
const element = (id) => document.getElementById(id);
const largest = Number(document.body.dataset.largest);
const megabytes = (bytes) => Math.round(bytes / 1e5) / 10;
let language = navigator.language.startsWith("zh") ? "zh" : "en";
let job = null;  // the recording that this window is about

// Words: an element remembers which it shows, so that the language can change at any moment.
function say(where, key, values = {}) {
  where.dataset.words = key;
  where.dataset.values = JSON.stringify(values);
  const said = (value) => value?.[language] ?? value;  // what the server says comes in both languages
  where.textContent = WORDS[language][key].replace(/\{(\w+)\}/g, (_, name) => said(values[name]));
}

function speak(chosen) {
  language = chosen;
  document.documentElement.lang = chosen;
  element("language").textContent = WORDS[chosen].other;
  element("language").lang = chosen === "en" ? "zh" : "en";
  document.querySelectorAll("[data-words]").forEach((one) =>
    say(one, one.dataset.words, JSON.parse(one.dataset.values ?? "{}")));
}

function complain(key, values) {
  say(element("error"), key, values);
  element("error").hidden = false;
  element("status").hidden = true;
}

// A recording: sent, asked about until it is finished, shown.
async function separate(file) {
  forget();
  for (const id of ["error", "result"]) element(id).hidden = true;
  if (file.size > largest) {
    complain("large", { name: file.name, size: megabytes(file.size), most: megabytes(largest) });
    return;
  }
  element("status").hidden = false;
  element("stop").hidden = true;
  element("name").textContent = file.name;
  element("progress").hidden = false;
  element("progress").value = 0;
  say(element("state"), "sending");
  try {
    const body = IN_THE_BROWSER.test(file.name) ? await toWav(file).catch(() => file) : file;
    const query = new URLSearchParams({ model: element("model").value, name: file.name });
    const answer = await (await fetch(`jobs?${query}`, { method: "POST", body })).json();
    if (answer.id === undefined) {
      complain("failed", { error: answer.error });
      return;
    }
    job = answer.id;
    await follow(answer);
  } catch {
    complain("gone");
  }
}

async function follow(told) {
  const mine = told.id;
  element("stop").hidden = false;
  while (told.state === "waiting" || told.state === "working") {
    say(element("state"), told.state, { percent: Math.floor(100 * told.progress) });
    element("progress").value = told.progress;
    await new Promise((done) => setTimeout(done, POLL));
    if (job !== mine) return;  // stopped, or another one was chosen
    told = await (await fetch(`jobs/${mine}`)).json();
    if (job !== mine) return;
  }
  element("status").hidden = true;
  if (told.state === "done") show(told);
  else complain("failed", { error: told.error });
}

function forget() {
  document.querySelectorAll("audio").forEach((player) => player.pause());
  if (job !== null) fetch(`jobs/${job}`, { method: "DELETE", keepalive: true }).catch(() => {});
  job = null;
}

function show(told) {
  element("done").textContent = told.name;
  element("signals").replaceChildren();
  element("players").replaceChildren();
  const tracks = told.signals.map((signal, number) => track(told, signal, number));
  let chosen = 0;
  const choose = (number) => {
    const [before, after] = [tracks[chosen].player, tracks[number].player];
    if (number === chosen) {
      after.paused ? play(after) : after.pause();
    } else {
      after.currentTime = before.currentTime;
      play(after);
      before.pause();
    }
    chosen = number;
    tracks.forEach(({ button, player }, other) => {
      button.setAttribute("aria-pressed", String(other === chosen));
      player.hidden = other !== chosen;
    });
  };
  tracks.forEach(({ button }, number) => button.addEventListener("click", () => choose(number)));
  tell(told);
  element("result").hidden = false;
}

// Of a model for conversations: how many were heard, and who speaks when as a file.
function tell(told) {
  element("speech").hidden = !told.speech;
  if (!told.speech) {
    say(element("listen"), "listen");
    return;
  }
  say(element("listen"), "follow");
  element("turns").href = `jobs/${told.id}/${told.speech.file}?download`;
  if (told.speech.speakers === 0) say(element("heard"), "nobody");
  else if (told.speech.speakers === 1) say(element("heard"), "one", told.speech);
  else say(element("heard"), "several", told.speech);
}

const play = (player) => player.play().catch(() => {});  // that the next press interrupts it is no error

function track(told, signal, number) {
  const address = `jobs/${told.id}/${signal.file}`;
  const player = document.createElement("audio");
  Object.assign(player, { controls: true, preload: "auto", src: address, hidden: number > 0 });
  const name = document.createElement("span");
  say(name, number ? "voice" : "mixture", { number });
  const head = make("span", "name", name);
  const wave = make("span", "");
  wave.innerHTML = signal.waveform;  // drawn by the server, of numbers alone
  const picture = Object.assign(document.createElement("img"), { src: signal.spectrogram, alt: "" });
  const cursor = make("i", "cursor");
  const speech = make("span", "speech");
  player.addEventListener("loadedmetadata", () => {
    speech.replaceChildren(...signal.speech.map(([start, end]) => {
      const bar = make("i", "");
      bar.style.left = `${100 * start / player.duration}%`;
      bar.style.width = `${100 * (end - start) / player.duration}%`;
      return bar;
    }));
  });
  player.addEventListener("timeupdate", () => {
    cursor.style.left = `${player.duration ? 100 * player.currentTime / player.duration : 0}%`;
  });
  const button = make("button", `signal${number ? "" : " mixture"}`, head, make("span", "pictures", wave, picture, cursor), speech);
  button.type = "button";
  button.setAttribute("aria-pressed", String(number === 0));
  const keep = Object.assign(make("a", "keep"), { href: `${address}?download`, download: "" });
  say(keep, "keep");
  element("signals").append(make("div", "one", button, keep));
  element("players").append(player);
  return { button, player };
}

function make(tag, kind, ...children) {
  const one = document.createElement(tag);
  one.className = kind;
  one.append(...children);
  return one;
}

// The microphone. What the browser records is made a wav here, because the server reads no webm.
let recorder = null;
async function record() {
  if (recorder) {
    recorder.stop();
    return;
  }
  try {
    const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    const stream = await navigator.mediaDevices.getUserMedia({ audio: plain });
    const parts = [];
    recorder = new MediaRecorder(stream);
    recorder.ondataavailable = (event) => parts.push(event.data);
    const started = Date.now();
    const clock = () => say(element("record"), "recording", { seconds: Math.round((Date.now() - started) / 1000) });
    const ticking = setInterval(clock, 500);
    clock();
    element("record").classList.add("on");
    recorder.onstop = async () => {
      clearInterval(ticking);
      stream.getTracks().forEach((one) => one.stop());
      recorder = null;
      element("record").classList.remove("on");
      say(element("record"), "record");
      try {
        const wav = await toWav(new Blob(parts));
        await separate(new File([wav], "recording.wav"));
      } catch (error) {
        complain("microphone", { error: error.message });
      }
    };
    recorder.start();
  } catch (error) {
    recorder = null;
    complain("microphone", { error: error.message });
  }
}

// Sound of any format that the browser knows, as a wav: the mean of its channels, 16 bits.
async function toWav(blob) {
  const context = new AudioContext();
  const sound = await context.decodeAudioData(await blob.arrayBuffer());
  await context.close();
  const mono = new Float32Array(sound.length);
  for (let channel = 0; channel < sound.numberOfChannels; channel++) {
    sound.getChannelData(channel).forEach((value, index) => { mono[index] += value / sound.numberOfChannels; });
  }
  const view = new DataView(new ArrayBuffer(44 + 2 * mono.length));
  const text = (at, word) => [...word].forEach((letter, index) => view.setUint8(at + index, letter.charCodeAt(0)));
  text(0, "RIFF"); view.setUint32(4, 36 + 2 * mono.length, true); text(8, "WAVEfmt ");
  view.setUint32(16, 16, true); view.setUint16(20, 1, true); view.setUint16(22, 1, true);
  view.setUint32(24, sound.sampleRate, true); view.setUint32(28, 2 * sound.sampleRate, true);
  view.setUint16(32, 2, true); view.setUint16(34, 16, true);
  text(36, "data"); view.setUint32(40, 2 * mono.length, true);
  mono.forEach((value, index) => view.setInt16(44 + 2 * index, 32767 * Math.max(-1, Math.min(1, value)), true));
  return new Blob([view], { type: "audio/wav" });
}

// What the user does.
const drop = element("drop");
const over = (event, inside) => { event.preventDefault(); drop.classList.toggle("over", inside); };
addEventListener("dragover", (event) => over(event, true));
addEventListener("dragleave", (event) => over(event, false));
addEventListener("drop", (event) => {
  over(event, false);
  if (event.dataTransfer.files.length) separate(event.dataTransfer.files[0]);
});
element("file").addEventListener("change", (event) => {
  const [file] = event.target.files;
  if (file) separate(file);
  event.target.value = "";  // the same file may be chosen again
});
element("stop").addEventListener("click", () => {
  forget();
  say(element("state"), "stopped");
  element("progress").hidden = true;
  element("stop").hidden = true;
});
element("record").hidden = !navigator.mediaDevices || !window.MediaRecorder;  // browsers want https, or this machine
element("record").addEventListener("click", record);
element("language").addEventListener("click", () => speak(language === "en" ? "zh" : "en"));
addEventListener("pagehide", (event) => { if (!event.persisted) forget(); });
say(document.querySelector("[data-words=limit]"), "limit", { size: megabytes(largest) });
speak(language);
