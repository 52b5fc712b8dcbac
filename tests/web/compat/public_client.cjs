// Daily work through frappe-js-sdk, a public client of the predecessor: prints what each call answered, as JSON.
// node public_client.cjs BASE KEY:SECRET USER PASSWORD
const { FrappeApp } = require("frappe-js-sdk");

const [base, token, user, password] = process.argv.slice(2);
const answers = {};

async function ask(name, promise) {
  try {
    answers[name] = await promise;
  } catch (error) {
    answers[name] = { refused: error.httpStatus, exception: error.exception, type: error.exc_type };
  }
  return answers[name];
}

async function main() {
  const frappe = new FrappeApp(base, { useToken: true, token: () => token, type: "token" });
  const [db, call] = [frappe.db(), frappe.call()];
  await ask("loggedUser", frappe.auth().getLoggedInUser());
  const lead = await ask("created", db.createDoc("CRM Lead", { first_name: "Kavita", mobile_no: "9820045001" }));
  await db.createDoc("CRM Lead", { first_name: "Leela", mobile_no: "9820045002", lead_owner: user });
  await ask("read", db.getDoc("CRM Lead", lead.name));
  await ask("list", db.getDocList("CRM Lead", {
    fields: ["name", "lead_name", "lead_owner"],
    filters: [["status", "=", "New"], ["first_name", "in", ["Kavita", "Leela"]]],
    orFilters: [["first_name", "=", "Leela"], ["mobile_no", "like", "%45001"]],
    orderBy: { field: "modified", order: "desc" },
    limit: 5,
    limit_start: 0,
  }));
  await ask("asList", db.getDocList("CRM Lead", { fields: ["first_name"], asDict: false, limit: 1 }));
  await ask("grouped", db.getDocList("CRM Lead", { fields: ["status", "count(name) as total"], groupBy: "status" }));
  await ask("count", db.getCount("CRM Lead", [["first_name", "like", "Lee%"]]));
  await ask("last", db.getLastDoc("CRM Lead", { orderBy: { field: "creation", order: "desc" } }));
  await ask("updated", db.updateDoc("CRM Lead", lead.name, { description: "Called" }));
  await ask("stale", db.updateDoc("CRM Lead", lead.name, { ...lead, description: "Old" }));
  await ask("set", db.setValue("CRM Lead", lead.name, "description", "Twice"));
  await ask("value", db.getValue("CRM Lead", ["description"], [["name", "=", lead.name]]));
  await ask("single", db.getSingleValue("System Settings", "time_zone"));
  await ask("users", db.getDocList("User", { fields: ["name", "email", "enabled"], filters: [["enabled", "=", 1]] }));
  await ask("renamed", db.renameDoc("CRM Lead", lead.name, "X"));
  await ask("submitted", db.submit({ doctype: "CRM Lead", name: lead.name }));
  await ask("unknown", db.getDoc("CRM Lead", "NOTHING-1"));
  await ask("deleted", db.deleteDoc("CRM Lead", lead.name));
  await ask("called", call.get("crm.api.office_hours.get_office_status"));
  await ask("posted", call.post("frappe.client.has_permission", { doctype: "CRM Lead", docname: "", perm_type: "write" }));
  const stranger = new FrappeApp(base);
  await ask("wrongPassword", stranger.auth().loginWithUsernamePassword({ username: user, password: "no" }));
  await ask("signedIn", stranger.auth().loginWithUsernamePassword({ username: user, password }));
  await ask("guest", stranger.auth().getLoggedInUser());
  await ask("wrongKey", new FrappeApp(base, { useToken: true, token: () => "a:b", type: "token" }).auth().getLoggedInUser());
  console.log(JSON.stringify(answers));
}

main();
