//! Metadata on a path governs what lies below it, so nobody may lay it over what others have made there before.

use serde_json::json;

use crate::support::access::{World, group};

const OPEN: &str = "cdwr|cdwr|cdwr";

#[test]
fn whoever_makes_a_key_above_those_of_others_gains_nothing_below() {
    let world = World::new(&[]);
    let (ann, eve) = (world.person("ann"), world.person("eve"));
    let (mut hers, mut client) = (world.of(&ann), world.of(&eve));
    let staff = group(&mut world.root(), "staff", &[&eve]);
    hers.put("/kv/team/a/x", "1").expect(201);
    for above in ["team", "team/b"] {
        let made = client.put(&format!("/kv/{above}"), "1").status;
        assert_eq!(made, 201);
    }
    for metadata in [json!({ "mode": OPEN }), json!({ "group": staff, "mode": "cdwr|cdwr|----" }), json!({})]
    {
        client.put("/meta/team", metadata.to_string()).refused(403, "forbidden");
    }
    client.put("/kv/team/a/x", "2").refused(403, "forbidden");
    client.delete("/kv/team/a/x").refused(403, "forbidden");
    // Over her own she may, and what is made there afterwards is made by the rights that she gave.
    client.put("/meta/team/b", json!({ "mode": OPEN }).to_string()).expect(200);
    hers.put("/kv/team/b/x", "1").expect(201);
    client.put("/meta/team/b", json!({ "mode": "cdwr|cd-r|cdwr" }).to_string()).expect(200);
    // What has metadata of its own, or nearer ones, is not touched by those above.
    world.govern("team/a", &json!({ "owner": ann.uuid, "mode": "cdwr|----|----" }));
    client.put("/meta/team", json!({ "mode": OPEN }).to_string()).expect(200);
    client.get("/kv/team/a/x").refused(404, "not_found");
    client.delete("/kv/team/a/x").refused(404, "not_found");
    hers.get("/kv/team/a/x").expect(200);
}

#[test]
fn a_key_between_metadata_and_the_keys_of_others_is_no_way_to_them_either() {
    let world = World::new(&[]);
    let (ann, eve) = (world.person("ann"), world.person("eve"));
    let (mut hers, mut client) = (world.of(&ann), world.of(&eve));
    world.govern("drop", &json!({ "owner": "root", "mode": "cdwr|----|c---" }));
    hers.put("/kv/drop/x/y", "1").expect(201);
    client.put("/kv/drop/x", "1").expect(201);
    client.put("/meta/drop/x", json!({ "mode": OPEN }).to_string()).refused(403, "forbidden");
    client.get("/kv/drop/x/y").refused(404, "not_found");
    // An administrator may.
    world.govern("drop/x", &json!({ "mode": OPEN }));
    client.get("/kv/drop/x/y").expect(200);
}
