// What a member of the room does in JavaScript: it joins the room, waits for "go", sends its messages, and counts
// those of the others. Each must come once and in order. The function runs in Node.js and, as text, in a browser.

export function takePart(WebSocket, url, name, others, each) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(`${url}?name=${name}`);
    const heard = Object.fromEntries(others.map((other) => [other, 0]));
    const say = (to, msg) => socket.send(JSON.stringify({ from: { name, ip: "" }, to, msg }));
    const text = (number) => `${number} žluť \u{1f600}`;
    socket.onopen = () => say("/join", "#tea");
    socket.onerror = () => reject(new Error("the connection failed"));
    socket.onclose = (event) => reject(new Error(`closed with ${event.code}`));
    socket.onmessage = (event) => {
      const message = JSON.parse(event.data);
      const sender = message.from.name;
      if (message.msg === "go") {
        for (let number = 0; number < each; number += 1) say("#tea", text(number));
      } else if (sender in heard && message.to === "#tea") {
        if (message.msg !== text(heard[sender])) {
          reject(new Error(`${sender} said ${message.msg} after ${heard[sender]} messages`));
        }
        heard[sender] += 1;
        const sum = Object.values(heard).reduce((left, right) => left + right);
        if (sum === each * others.length) {
          socket.onclose = (closed) => resolve({ sum, code: closed.code });
          socket.close(1000);
        }
      }
    };
  });
}
