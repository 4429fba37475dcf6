-- The prices of a county's plans for one person, by metal level.
select p.metal_level, count(*) as plans, count(distinct p.issuer_id) as issuers,
  min(r.premium) as lowest,
  round(percentile_cont(0.5) within group (order by r.premium)::numeric, 2) as median,
  max(r.premium) as highest
from counties c
join plan_county s on s.county_fips = c.county_fips and s.plan_year = :year::int
join plans p on p.plan_id = s.plan_id and p.plan_year = s.plan_year
join metal_levels m on m.metal_level = p.metal_level
join rates r on r.plan_id = s.plan_id and r.plan_year = s.plan_year and r.rating_area = c.rating_area
  and r.age = least(:age::int, 64)
where c.county_fips = :fips::text
group by p.metal_level, m.sort_order
order by m.sort_order
